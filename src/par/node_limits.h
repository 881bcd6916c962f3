/** \file node_limits.h
 *  Limits that ranks of a node share.  Layer: par. */
#ifndef RT_NODE_LIMITS_H
#define RT_NODE_LIMITS_H

#include "base/limits.h"
#include "par/comm.h"

/** What all ranks of this node that share limit i of \a mine need together,
 *  this one \a need, into \a total [n].  Collective over \a world; errors are
 *  agreed upon. */
RT_MUST rt_err rt_limits_total(const rt_comm *world, const rt_limits *mine,
                               double need, double total[RT_LIMITS_MAX]);

#endif
