/** \file limits.h
 *  What a process may use of the machine: the job's limits, not the machine's
 *  size.  Layer: base.
 *
 *  Memory: RAM; memory.max and memory.high (cgroup v2) or
 *  memory.limit_in_bytes (v1) of the process's cgroup and of all above it;
 *  Slurm's --mem and --mem-per-cpu; RLIMIT_AS and RLIMIT_DATA.  Cores: the CPU
 *  quotas of the same cgroups; cpusets are in the affinity mask already. */
#ifndef RT_LIMITS_H
#define RT_LIMITS_H

#include <stdbool.h>
#include <stdint.h>

enum {
  RT_LIMITS_MAX = 24,
  RT_GROUP_NODE = 1 /**< all processes of the node */
};

typedef struct rt_limit {
  double amount;  /**< bytes, or cores */
  uint64_t group; /**< processes with the same number share it; 0: each of them
                       has that much */
  bool soft;      /**< who is over it is slowed down, not ended */
  char name[256]; /**< "memory.max of /sys/fs/cgroup/job_7" */
} rt_limit;

typedef struct rt_limits {
  int n;
  rt_limit limit[RT_LIMITS_MAX];
} rt_limits;

/** Files are looked for under \a root: "/", or a test's tree.  What cannot be
 *  read is no limit. */
void rt_limits_memory(const char *root, rt_limits *out);
void rt_limits_cores(const char *root, rt_limits *out);

/** Bytes of this process that are in memory; 0 where the system does not tell.
 */
double rt_limits_resident(const char *root);

#endif
