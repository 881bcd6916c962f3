/** \file watchdog.h
 *  A thread per rank that ends a job which hangs, naming the rank.
 *  Layer: app.  It never calls MPI. */
#ifndef RT_WATCHDOG_H
#define RT_WATCHDOG_H

#include "base/err.h"
#include <stdint.h>

/** Watch this process: when no beat comes for \a limit_s (0: never), every
 *  watchdog reads the slots of all ranks in \a path (a shared file; "" when
 *  there is none), the lowest live one prints who is stuck and ends the job
 * with exit code 75.  A stopped process is known by its own thread's stamp
 * standing still. */
RT_MUST rt_err rt_watchdog_start(const char *path, int rank, int n_ranks,
                                 double limit_s);
void rt_watchdog_stop(void);

/** This rank is alive: at \a step, doing \a phase (a literal). */
void rt_watchdog_beat(int64_t step, const char *phase);

#endif
