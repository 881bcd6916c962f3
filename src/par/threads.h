/** \file threads.h
 *  Number and placement of a rank's OpenMP threads.  Layer: par. */
#ifndef RT_THREADS_H
#define RT_THREADS_H

#include "par/comm.h"

#include <sched.h>

typedef struct rt_threads {
  int n;       /**< OpenMP threads of this rank */
  int n_least; /**< minimum and maximum over all ranks */
  int n_most;
  const char *why; /**< "run.threads", "OMP_NUM_THREADS", "its cores", "its CPU
                      quota" */
  char cores[96];  /**< cores of this rank, "0-3,8" */
  int n_cores;     /**< number of these cores */
  int n_sharing;   /**< ranks of this node that may use the same cores */
  bool bound; /**< they divided the cores, and this rank is bound to its part */
  char crowd[384]; /**< if threads outnumber cores, a description of the first
                      such rank: "8 threads of 2 ranks on the 4 cores they
                      share"; otherwise "" */
  double quota;    /**< CPU quota of this rank in cores; 0: none */
  char quota_of[256]; /**< the file that sets the quota */
  int n_given_node; /**< number of cores that the ranks of this node may use */
  int n_node_cores; /**< number of cores of the node */
} rt_threads;

/** What threads are chosen from.  All borrowed. */
typedef struct rt_threads_spec {
  const cpu_set_t *sets; /**< [n_ranks] cores of the ranks of this node */
  int n_ranks, me;
  int asked;    /**< run.threads; 0: not said */
  int from_env; /**< OMP_NUM_THREADS; 0: not said */
  bool by_user; /**< OMP_PROC_BIND or OMP_PLACES say where threads go */
  double quota; /**< cores' worth of time of this rank; 0: no limit */
  const char *quota_of;
} rt_threads_spec;
/** How many threads rank \a me has, and its \a part of the cores, to which it
 *  shall keep if out->bound.  Changes nothing. */
void rt_threads_plan(const rt_threads_spec *spec, cpu_set_t *part,
                     rt_threads *out);
/** Set out->crowd for rank \a me if threads outnumber cores, counting all ranks
 *  that share its cores.  \param n_threads  [n_ranks] */
void rt_threads_crowd(const rt_threads_spec *spec, const int *n_threads,
                      rt_threads *out);

/** Divide the cores among the ranks of a node that may use the same ones, bind
 *  this process to its part (unless OMP_PROC_BIND or OMP_PLACES is set), and
 *  set the number of OpenMP threads: \a asked; if that is 0, OMP_NUM_THREADS,
 *  or else one per core that its CPU quota leaves.  Call before the first
 *  parallel region, because threads keep the cores on which they start.
 *  Collective; errors are agreed upon. */
RT_MUST rt_err rt_threads_choose(const rt_comm *world, int asked,
                                 rt_threads *out);

#endif
