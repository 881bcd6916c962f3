/** \file signals.h
 *  Signals that ask a run to stop with a checkpoint, and those that must not
 *  end it.  Layer: app. */
#ifndef RT_SIGNALS_H
#define RT_SIGNALS_H

#include "base/err.h"

/** For every verb: a reader that went away (`retort ... | head`) and a file
 *  that may not grow (ulimit -f) are errors of a write, not the end. */
void rt_signals_keep_writing(void);

/** SIGUSR1, SIGUSR2, SIGTERM, SIGXCPU, SIGHUP and SIGINT ask this process to
 *  stop, however often they come: a Slurm that ends a job sends SIGTERM twice
 *  within milliseconds, and SIGKILL KillWait later.  Only a second SIGINT, from
 *  a person, ends it as usual.  What was ignored from the start (nohup) stays
 *  so.  Call it again after MPI_Init: libraries take signals for themselves. */
RT_MUST rt_err rt_signals_install(void);
/** Did a signal ask this rank to stop? */
bool rt_signals_stop_asked(void);

#endif
