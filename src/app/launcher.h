/** \file launcher.h
 *  Who started this process, and as how many: what the launcher's variables
 *  say, to be compared with what MPI sees.
 *
 *  Layer: app.  A launcher that MPI does not understand (srun without PMIx, the
 *  mpiexec of another MPI) starts N whole programs of one rank each, which
 *  would work side by side in one folder. */
#ifndef RT_LAUNCHER_H
#define RT_LAUNCHER_H

#include "base/err.h"

/** What the environment says of the launcher; names are constants. */
typedef struct rt_launcher {
  const char *name; // "srun", "mpiexec (PMI)", ...; NULL: started by hand
  int n_tasks;      // at least so many were started; 1 when that is unknown
  int task;         // which of them this is, 0 when that is unknown
  bool counted;     // n_tasks was told, not only guessed from the task
} rt_launcher;

/** Read the variables.  Before MPI starts: it sets some of them itself. */
rt_launcher rt_launcher_read(void);

/** Is this the process that speaks, as far as can be told without MPI? */
bool rt_launcher_speaks(const rt_launcher *l);

/** Let a lone process in a shell that srun opened be one rank: Open MPI 4.1
 *  would take it for a task of srun and abort.  Before MPI starts. */
void rt_launcher_free_shell(const rt_launcher *l);

/** RT_ERR_USAGE when several were started and MPI, which has \a n_ranks, sees
 *  only this one.  MPI must have started.  Not collective. */
RT_MUST rt_err rt_launcher_check(const rt_launcher *l, int n_ranks);

#endif
