/** \file limits.h
 *  The resources that a process may use: limits of the job, not only the size
 *  of the machine.  Layer: base.
 *
 *  Memory: RAM; memory.max and memory.high (cgroup v2) or memory.limit_in_bytes
 *  (v1) of the process's cgroup and all its ancestors; Slurm's --mem and
 *  --mem-per-cpu; RLIMIT_AS and RLIMIT_DATA.  Cores: the CPU quotas of the same
 *  cgroups; cpusets are already part of the affinity mask. */
#ifndef RT_LIMITS_H
#define RT_LIMITS_H

#include <stdbool.h>
#include <stdint.h>

enum {
  RT_LIMITS_MAX = 24,
  RT_GROUP_NODE = 1 /**< shared by all processes of the node */
};

typedef struct rt_limit {
  double amount;  /**< bytes, or cores */
  uint64_t group; /**< processes with the same number share the limit; 0: each
                     process has it for itself */
  bool soft; /**< exceeding it slows processes down instead of killing them */
  char name[256]; /**< "memory.max of /sys/fs/cgroup/job_7" */
} rt_limit;

typedef struct rt_limits {
  int n;
  rt_limit limit[RT_LIMITS_MAX];
} rt_limits;

/** Collect the limits.  Files are read below \a root: "/", or a tree made by a
 *  test.  A file that cannot be read imposes no limit. */
void rt_limits_memory(const char *root, rt_limits *out);
void rt_limits_cores(const char *root, rt_limits *out);

/** Resident memory of this process in bytes; 0 if the system does not report
 *  it. */
double rt_limits_resident(const char *root);

#endif
