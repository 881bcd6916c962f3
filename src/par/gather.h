/** \file gather.h
 *  An all-gather of rows of a device view.  Layer: par. */
#ifndef RT_GATHER_H
#define RT_GATHER_H

#include "par/comm.h"

/** Each rank of \a comm gets the rows of all: rank r has written rows [r each,
 *  (r + 1) each) of the contiguous view \a all, of any type.  In the order of
 *  the device's queue.  Collective over \a comm. */
RT_MUST rt_err rt_gather(const rt_comm *comm, rt_dev *dev, rt_view all,
                         int64_t each);

#endif
