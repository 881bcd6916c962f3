/** \file lock.h
 *  One run per output folder.  Layer: io. */
#ifndef RT_LOCK_H
#define RT_LOCK_H

#include "base/err.h"

typedef struct rt_lock rt_lock;

/** Create FOLDER/lock (a hard link) with host, pid and Slurm job; create the
 *  folder if there is none.  If a live owner holds it: RT_ERR_LOCKED, naming
 *  the owner.  The lock is taken over, with a warning, from a dead owner on
 *  this host (no such process, or its pid was reused), from an earlier start of
 *  this Slurm job (requeued), and from an owner on another host that was silent
 *  for longer than it announced.  Call on one rank.
 *  \param silent_s  longest time between two refreshes; at least 600 is used */
RT_MUST rt_err rt_lock_take(const char *folder, double silent_s, rt_lock **out);
/** Remove what killed runs left in \a folder: the names under which they took
 *  the lock, and drafts of the lock and of the files \a outputs [n], when they
 *  are older than a day.  Call only for a folder that is locked and known to be
 *  Retort's: in another one, files of such names are the user's. */
void rt_lock_sweep(const char *folder, const char *const *outputs, int n);
/** Show that the owner is alive; call regularly.  Warns if another run took
 *  over meanwhile. */
void rt_lock_refresh(rt_lock *lock);
/** Remove the lock file if it still belongs to this run, and the folder if this
 *  run created it and it is empty.  Keeps the caller's error.  NULL is
 *  accepted. */
void rt_lock_release(rt_lock **lock);

#endif
