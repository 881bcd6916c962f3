/** \file tp.h
 *  Entry and exit of tensor-parallel regions.  Layer: model.
 *
 *  Outside a region all ranks of comm_tp hold the same rows.  Inside, each rank
 *  works on its own heads or features and ends with a partial sum.  All sums
 *  over tp in a model happen in these two functions, so another scheme (such as
 *  sequence parallelism) can be implemented behind them. */
#ifndef RT_TP_H
#define RT_TP_H

#include "par/grid.h"

/** Direction of the pass. */
typedef enum rt_pass { RT_PASS_FORWARD, RT_PASS_BACKWARD } rt_pass;

/** Enter a region.  Forward: \a x [N, D] is replicated and unchanged.
 *  Backward: \a x is this rank's part of the gradient with respect to the
 *  region's input and is replaced by the sum.  Collective over tp. */
RT_MUST rt_err rt_tp_enter(const rt_grid *grid, rt_dev *dev, rt_view x,
                           rt_pass pass);

/** Leave a region.  Forward: \a y [N, D] is this rank's part of the region's
 *  output and is replaced by the sum.  Backward: \a y is the gradient with
 *  respect to that sum; it is replicated and equals the gradient of each part.
 *  Collective over tp. */
RT_MUST rt_err rt_tp_exit(const rt_grid *grid, rt_dev *dev, rt_view y,
                          rt_pass pass);

#endif
