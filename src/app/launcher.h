/** \file launcher.h
 *  Which launcher started this process, and with how many tasks, according to
 *  the launcher's environment variables; to be compared with what MPI reports.
 *
 *  Layer: app.  A launcher that the MPI library does not recognise (srun
 *  without PMIx, the mpiexec of another MPI) starts N separate programs with
 *  one rank each, which would all work in the same folder. */
#ifndef RT_LAUNCHER_H
#define RT_LAUNCHER_H

#include "base/err.h"

/** The launcher according to the environment; names are constants. */
typedef struct rt_launcher {
  const char *name; // "srun", "mpiexec (PMI)", ...; NULL: started by hand
  int n_tasks;      // at least this many tasks were started; 1 if unknown
  int task;         // number of this task, 0 if unknown
  bool counted;     // n_tasks was given, not inferred from the task number
} rt_launcher;

/** Read the variables.  Call before MPI starts, because it sets some of them
 *  itself. */
rt_launcher rt_launcher_read(void);

/** Is this the process that prints, as far as can be determined without MPI? */
bool rt_launcher_speaks(const rt_launcher *l);

/** Allow a process in an interactive shell of srun to be a single rank: Open
 *  MPI 4.1 would take it for a task of srun and abort.  Call before MPI starts.
 */
void rt_launcher_free_shell(const rt_launcher *l);

/** RT_ERR_USAGE if several tasks were started but MPI, which has \a n_ranks,
 *  sees only this one.  MPI must have started.  Not collective. */
RT_MUST rt_err rt_launcher_check(const rt_launcher *l, int n_ranks);

#endif
