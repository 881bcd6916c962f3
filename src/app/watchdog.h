/** \file watchdog.h
 *  A thread on every rank that ends a hung job and reports which rank hangs.
 *
 *  Layer: app.  A beat only stores five values in the main thread.  The
 *  watchdog thread never calls MPI: every 1 + n/64 s with n ranks, but at least
 *  eight times in the limit, it writes this rank's line of the heartbeat file,
 *  so that a frozen process is recognised by its outdated line, and a waiting
 *  process by how far it came.  The file is FOLDER/heartbeat, or one in TMPDIR
 *  for each node if there is no folder.  Before the first beat there is none
 *  unless a rank is in doubt; ranks on one node then use that in TMPDIR. */
#ifndef RT_WATCHDOG_H
#define RT_WATCHDOG_H

#include "distill/job/job.h"

/** Start right after MPI_Init; \a world is the whole job.  Before
 *  rt_watchdog_start, or in a verb without it, a hang ends the job if all ranks
 *  wait in collectives for \a limit_s, or one of them is frozen.  Collective;
 *  errors are local to a rank. */
RT_MUST rt_err rt_watchdog_begin(MPI_Comm world, double limit_s);
/** Set the limit given by the deck. */
void rt_watchdog_limit(double limit_s);

/** Watch this rank's beats: if there is none for \a limit_s (0: unlimited), the
 *  job ends with exit code 75.  Ten times as long is allowed for set-up (from
 *  one sign of life to the next: a collective, or a piece of a large file that
 *  is read) and for writing checkpoints and shards (to a slow disk), unless a
 *  rank is frozen or all wait in collectives.  A rank that waits deliberately
 *  (rt_watchdog_wait) may do so as long as others beat.  \a folder: of the run,
 *  or "" (then only ranks on one node see each other).  It and \a phases are
 *  borrowed until the stop. Collective; errors are agreed upon. */
RT_MUST rt_err rt_watchdog_start(const rt_comm *world, const char *folder,
                                 double limit_s, const rt_phases *phases);

/** Note that this rank makes progress; for rt_hooks.  Main thread; negligible
 *  cost. */
void rt_watchdog_beat(int64_t step, const char *phase);

/** Note that this rank is done and waits for the others, for as long as they
 *  beat; for rt_hooks.  Call it regularly until the next beat. */
void rt_watchdog_wait(const char *phase);

/** Stop; rank 0 removes the file.  Does nothing if never started. */
void rt_watchdog_stop(void);

#endif
