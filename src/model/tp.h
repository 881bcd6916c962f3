/** \file tp.h
 *  The only ways into and out of a tensor-parallel region.  Layer: model.
 *
 *  Outside a region every rank of comm_tp holds the same rows; inside, each
 *  works on its heads or features and has a partial sum at the end.  Sums over
 *  tp happen here and nowhere else in a model, so that another scheme (rows
 *  split outside the regions) can come in behind these two calls. */
#ifndef RT_TP_H
#define RT_TP_H

#include "par/grid.h"

/** Which way the pass runs. */
typedef enum rt_pass { RT_PASS_FORWARD, RT_PASS_BACKWARD } rt_pass;

/** Enter a region.  Forward: \a x [N, D] is replicated and stays as it is.
 *  Backward: \a x is this rank's part of the gradient to the region's input and
 *  becomes the sum.  Collective over tp. */
RT_MUST rt_err rt_tp_enter(const rt_grid *grid, rt_dev *dev, rt_view x,
                           rt_pass pass);

/** Leave a region.  Forward: \a y [N, D] is this rank's part of the region's
 *  output and becomes the sum.  Backward: \a y is the gradient to that sum,
 *  replicated, which is each part's gradient too.  Collective over tp. */
RT_MUST rt_err rt_tp_exit(const rt_grid *grid, rt_dev *dev, rt_view y,
                          rt_pass pass);

#endif
