/** \file threads.h
 *  How many OpenMP threads a rank has, and on which cores.  Layer: par. */
#ifndef RT_THREADS_H
#define RT_THREADS_H

#include "par/comm.h"

typedef struct rt_threads {
  int n;       /**< OpenMP threads of this rank */
  int n_least; /**< the fewest and most of any rank */
  int n_most;
  const char *why; /**< "run.threads", "OMP_NUM_THREADS", "its cores", "its CPU
                      quota" */
  char cores[96];  /**< cores of this rank, "0-3,8" */
  int n_cores;     /**< how many those are */
  int n_sharing;   /**< ranks of this node that may use the same cores */
  bool bound; /**< they have shared those out; this rank keeps to its part */
  char crowd[384]; /**< where threads outnumber cores, of the first such rank:
                        "8 threads of 2 ranks on the 4 cores they share"; "" */
  double quota; /**< cores' worth of time that this rank may use; 0: no limit */
  char quota_of[256]; /**< what says so */
  int n_given_node;   /**< cores that any of them may use */
  int n_node_cores;   /**< cores of the node */
} rt_threads;

/** Share the cores among the ranks of a node that may use the same ones, bind
 *  this process to its part (unless OMP_PROC_BIND or OMP_PLACES is set), and
 *  set OpenMP's number of threads: \a asked, or, when that is 0,
 *  OMP_NUM_THREADS, or one for each core that its CPU quota leaves it.  Before
 * the first parallel region, as threads keep the cores they start on.
 * Collective; errors are agreed upon.
 */
RT_MUST rt_err rt_threads_choose(const rt_comm *world, int asked,
                                 rt_threads *out);

#endif
