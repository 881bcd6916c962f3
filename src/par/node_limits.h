/** \file node_limits.h
 *  Resource limits that ranks of a node share.  Layer: par. */
#ifndef RT_NODE_LIMITS_H
#define RT_NODE_LIMITS_H

#include "base/limits.h"
#include "par/comm.h"

/** For each limit i of \a mine, the sum of \a need over all ranks of this node
 *  that share it, into \a total [n].  Collective over \a world; errors are
 *  agreed upon. */
RT_MUST rt_err rt_limits_total(const rt_comm *world, const rt_limits *mine,
                               double need, double total[RT_LIMITS_MAX]);

#endif
