/** \file launcher.c
 *  Environment variables of launchers. */
#include "app/launcher.h"

#include <limits.h>
#include <mpi.h>
#include <stdlib.h>
#include <string.h>

/** Launchers, the most direct one first: inside a Slurm job, mpirun's daemons
 *  are started by srun, and ranks inherit their variables.  Variables of a
 *  whole job (SLURM_NTASKS, PBS_NP) say nothing about this process. */
static const struct {
  const char *name;
  const char *n_tasks; // NULL: it does not set one
  const char *task;
} launchers[] = {
    {"mpirun of Open MPI", "OMPI_COMM_WORLD_SIZE", "OMPI_COMM_WORLD_RANK"},
    {"mpiexec of MPICH, Intel or Cray MPI", "PMI_SIZE", "PMI_RANK"},
    {"mpirun of MVAPICH", "MV2_COMM_WORLD_SIZE", "MV2_COMM_WORLD_RANK"},
    {"mpiexec of Cray PALS", "PALS_LOCAL_SIZE", "PALS_RANKID"},
    {"aprun", NULL, "ALPS_APP_PE"},
    {"jsrun", "JSM_NAMESPACE_SIZE", "JSM_NAMESPACE_RANK"},
    {"flux run", "FLUX_JOB_SIZE", "FLUX_TASK_RANK"},
    {"srun", "SLURM_STEP_NUM_TASKS", "SLURM_PROCID"},
    {"a launcher that speaks PMIx", NULL, "PMIX_RANK"}};
enum { N_LAUNCHERS = sizeof launchers / sizeof launchers[0] };

/** An integer from the environment, or \a otherwise if it is not set. */
static int number(const char *name, int otherwise)
{
  char *end;
  const char *text = name != NULL ? getenv(name) : NULL;
  if (text == NULL || text[0] == '\0')
    return otherwise;
  const long value = strtol(text, &end, 10);
  return *end == '\0' && value >= 0 && value < INT_MAX ? (int)value : otherwise;
}

/** Is this an interactive shell of `srun --pty` or salloc, in which a user
 *  starts programs by hand? */
static bool in_slurm_shell(void)
{
  return getenv("SLURM_PTY_PORT") != NULL;
}

rt_launcher rt_launcher_read(void)
{
  rt_launcher l = {.n_tasks = 1};
  for (int i = 0; i < N_LAUNCHERS; i++) {
    const int n = number(launchers[i].n_tasks, 0);
    const int task = number(launchers[i].task, -1);
    if (n == 0 && task < 0)
      continue;
    l.name = launchers[i].name;
    l.counted = n > 0;
    l.task = task > 0 ? task : 0;
    l.n_tasks = n > l.task ? n : l.task + 1;
    break;
  }
  // srun --mpi=pmi2 also sets PMI variables
  const int n_slurm = number("SLURM_STEP_NUM_TASKS", 0);
  if (l.name != NULL && strcmp(l.name, launchers[1].name) == 0 &&
      l.n_tasks == n_slurm)
    l.name = "srun";
  if (l.name != NULL && strcmp(l.name, "srun") == 0 && in_slurm_shell())
    l = (rt_launcher){.n_tasks = 1};
  return l;
}

bool rt_launcher_speaks(const rt_launcher *l)
{
  return l->task == 0;
}

void rt_launcher_free_shell(const rt_launcher *l)
{
  static const char *const contacts[] = {"PMIX_RANK", "PMI_RANK", "PMI_FD"};
  for (size_t i = 0; i < sizeof contacts / sizeof contacts[0]; i++)
    if (getenv(contacts[i]) != NULL)
      return; // this process was started as part of a job step
  if (l->n_tasks > 1)
    return;
  unsetenv("SLURM_STEPID");
  unsetenv("SLURM_STEP_ID");
}

/** The remedy: for tasks of another launcher, or of srun without PMIx. */
static const char *remedy(const rt_launcher *l)
{
  return l->name != NULL && strcmp(l->name, "srun") == 0
             ? "start it with `srun --mpi=pmix` (`srun --mpi=list` shows what "
               "this Slurm has), or with the mpirun of"
             : "start it with the mpirun of";
}

rt_err rt_launcher_check(const rt_launcher *l, int n_ranks)
{
  char mpi[MPI_MAX_LIBRARY_VERSION_STRING] = "";
  int length = 0;
  if (n_ranks > 1 || l->n_tasks <= 1)
    return RT_OK;
  MPI_Get_library_version(mpi, &length);
  mpi[strcspn(mpi, ",\n")] = '\0';
  return RT_FAIL(RT_ERR_USAGE,
                 "%s started %s%d tasks, but MPI sees one rank in each: that "
                 "many separate runs would start; %s %s that retort was built "
                 "with.  To start separate runs, launch each as one task",
                 l->name, l->counted ? "" : "at least ", l->n_tasks, remedy(l),
                 mpi);
}
