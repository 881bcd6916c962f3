/** \file signals.h
 *  Signals that stop a run with a checkpoint, and signals that must not kill
 *  it.  Layer: app. */
#ifndef RT_SIGNALS_H
#define RT_SIGNALS_H

#include "base/err.h"

/** For every verb: a closed pipe (`retort ... | head`) and the file size limit
 *  (ulimit -f) become errors of a write instead of killing the process. */
void rt_signals_keep_writing(void);

/** Let SIGUSR1, SIGUSR2, SIGTERM, SIGXCPU, SIGHUP and SIGINT request a stop,
 *  however often they arrive: at the end of a job, Slurm sends SIGTERM twice
 *  within milliseconds, and SIGKILL after KillWait.  Only a second SIGINT, from
 *  a user, kills the process.  Signals ignored from the start (nohup) remain
 *  ignored.  Call again after MPI_Init, because libraries install handlers. */
RT_MUST rt_err rt_signals_install(void);
/** Has a signal requested this rank to stop? */
bool rt_signals_stop_asked(void);

#endif
