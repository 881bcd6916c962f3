/** \file lock.h
 *  One run per output folder.  Layer: io. */
#ifndef RT_LOCK_H
#define RT_LOCK_H

#include "base/err.h"

typedef struct rt_lock rt_lock;

/** Create FOLDER/lock (a hard link) holding host, pid and Slurm job; the
 * folder, too, when there is none.  Held by a live owner: RT_ERR_LOCKED naming
 * it.  A dead owner on this host (pid gone, or now another process's), an
 * earlier start of this Slurm job (requeued), or another host's owner that was
 * silent for longer than it said it might be, is taken over with a warning. One
 * rank. \param silent_s  between two refreshes at most; 600 if less */
RT_MUST rt_err rt_lock_take(const char *folder, double silent_s, rt_lock **out);
/** Say that the owner lives; call now and then.  Warns when another run took
 *  over meanwhile. */
void rt_lock_refresh(rt_lock *lock);
/** Remove it if it is still ours, and the folder if that was made for it and
 * nothing came into it.  Keeps the caller's error.  NULL is accepted. */
void rt_lock_release(rt_lock **lock);

#endif
