/** \file hosts.h
 *  On which machines the ranks are.  Layer: par. */
#ifndef RT_HOSTS_H
#define RT_HOSTS_H

#include "par/comm.h"

typedef struct rt_hosts {
  int n;           /**< number of distinct hosts */
  int n_ranks;     /**< ranks on the host of rank 0 */
  char names[320]; /**< "a, b", the first few */
} rt_hosts;

/** Collective; errors are agreed upon. */
RT_MUST rt_err rt_hosts_find(const rt_comm *world, rt_hosts *out);

#endif
