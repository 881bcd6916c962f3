/** \file threads.h
 *  How many threads a rank should use.  Layer: par. */
#ifndef RT_THREADS_H
#define RT_THREADS_H

#include "par/comm.h"

typedef struct rt_threads {
  int n;            /**< threads for this rank */
  int n_cores;      /**< cores that this rank may run on */
  int n_sharing;    /**< ranks of this node with some of the same cores */
  int n_node_cores; /**< cores of the node */
  const char *why;  /**< "run.threads", "OMP_NUM_THREADS", "its cores" */
} rt_threads;

/** \a asked > 0 decides; else OMP_NUM_THREADS; else the cores of this rank's
 *  affinity mask, shared with the ranks of the node that may run on them.
 *  Collective. */
RT_MUST rt_err rt_threads_choose(const rt_comm *world, int asked,
                                 rt_threads *out);

#endif
