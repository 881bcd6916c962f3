/** \file watchdog.h
 *  A thread of every rank that ends a hung job and says who hangs.
 *
 *  Layer: app.  The main thread only stores two numbers per beat.  The thread
 *  never calls MPI: about once a second it writes this rank's line of the file
 *  FOLDER/heartbeat, so that a frozen process is known by its old line, and a
 *  process that waits in vain by how far it came. */
#ifndef RT_WATCHDOG_H
#define RT_WATCHDOG_H

#include "distill/job/job.h"

/** Begin right after MPI_Init: \a world is all of the job.  A hang before
 *  rt_watchdog_start, or in a verb without it, ends the job when all ranks wait
 *  in collectives for \a limit_s, or one of them is frozen.  Collective; errors
 *  are this rank's alone. */
RT_MUST rt_err rt_watchdog_begin(MPI_Comm world, double limit_s);
/** Another limit, as the deck has it. */
void rt_watchdog_limit(double limit_s);

/** Watch this rank's beats: none for \a limit_s (0: never ends a job) and the
 *  job ends with exit code 75.  Set-up, before the first beat, may read whole
 *  corpora, and checkpoints and shards may go to a slow disk: these have ten
 *  times as long (in set-up from one collective to the next), unless a rank is
 *  frozen, or all wait in collectives; and who waits (rt_watchdog_wait) as long
 *  as the others beat.  \a folder: of the run, or "" (then only ranks of one
 *  node see each other).  Both it and \a phases are borrowed until the stop.
 *  Collective; errors are agreed upon. */
RT_MUST rt_err rt_watchdog_start(const rt_comm *world, const char *folder,
                                 double limit_s, const rt_phases *phases);

/** This rank does something: for rt_hooks.  Main thread; costs nothing. */
void rt_watchdog_beat(int64_t step, const char *phase);

/** This rank is done and waits for others, for as long as they beat: for
 *  rt_hooks.  Call it now and then, up to the next beat. */
void rt_watchdog_wait(const char *phase);

/** Stop watching; rank 0 removes the file.  Fine when never started. */
void rt_watchdog_stop(void);

#endif
