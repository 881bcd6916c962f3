/** \file lock_owner.h
 *  The owner of a lock, and whether that process still exists.  Layer: io. */
#ifndef RT_LOCK_OWNER_H
#define RT_LOCK_OWNER_H

#include <stdbool.h>

enum { RT_OWNER_TEXT = 1024, RT_OWNER_WHY = 192 };

/** Contents of a lock file; "" and 0 for what it does not contain. */
typedef struct rt_owner {
  char host[256], job[128], since[64];
  // boot id and PID namespace: process numbers are comparable only if both are
  // equal
  char boot[64], pid_space[64];
  long pid, silent_s;       // longest time without a sign of life
  unsigned long long start; // of the process, in clock ticks after boot
  int restart;              // of the Slurm job
} rt_owner;

/** The record of this process, which may be silent for \a silent_s. */
rt_owner rt_owner_myself(double silent_s);
void rt_owner_print(const rt_owner *o, char text[RT_OWNER_TEXT]);
rt_owner rt_owner_parse(const char *text);

/** Is the owner certainly gone, given the age of its last sign of life?  \a
 *  why: the reason, or why it can be judged only by its silence. */
bool rt_owner_is_gone(const rt_owner *o, const rt_owner *me, double age_s,
                      char why[RT_OWNER_WHY]);

#endif
