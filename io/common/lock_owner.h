/** \file lock_owner.h
 *  Who holds a lock, and whether that process is gone.  Layer: io. */
#ifndef RT_LOCK_OWNER_H
#define RT_LOCK_OWNER_H

#include <stdbool.h>

enum { RT_OWNER_TEXT = 1024, RT_OWNER_WHY = 192 };

/** "" and 0 where the lock file does not say. */
typedef struct rt_owner {
  char host[256], job[128], since[64];
  // one kernel since it started, and one table of its processes: only there do
  // two process numbers mean the same
  char boot[64], pid_space[64];
  long pid, silent_s;       // how long it may give no sign
  unsigned long long start; // of the process, in clock ticks after boot
  int restart;              // of the Slurm job
} rt_owner;

/** This process, which may be silent for \a silent_s. */
rt_owner rt_owner_myself(double silent_s);
void rt_owner_print(const rt_owner *o, char text[RT_OWNER_TEXT]);
rt_owner rt_owner_parse(const char *text);

/** Is it surely gone, given the age of its last sign?  Why it is, or why only
 *  its silence tells. */
bool rt_owner_is_gone(const rt_owner *o, const rt_owner *me, double age_s,
                      char why[RT_OWNER_WHY]);

#endif
