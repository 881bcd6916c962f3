/** \file threads.c
 *  How many threads a rank should use. */
#include "par/threads.h"

#include <sched.h>
#include <stdlib.h>
#include <unistd.h>

/** Ranks of this node whose masks meet \a mine. */
static rt_err count_sharing(const rt_comm *world, const cpu_set_t *mine, int *n)
{
  MPI_Comm shared = MPI_COMM_NULL;
  rt_comm *node = NULL;
  MPI_Comm_split_type(rt_comm_mpi(world), MPI_COMM_TYPE_SHARED, 0,
                      MPI_INFO_NULL, &shared);
  rt_err err = rt_comm_create(shared, &node);
  MPI_Comm_free(&shared);
  if (err != RT_OK)
    return err;
  const int size = rt_comm_size(node);
  cpu_set_t *masks = calloc((size_t)size, sizeof *masks);
  err = masks != NULL ? rt_comm_allgather(node, mine, sizeof *mine, masks)
                      : RT_FAIL(RT_ERR_MEM, "%d affinity masks", size);
  *n = 0;
  for (int i = 0; err == RT_OK && i < size; i++) {
    cpu_set_t both;
    CPU_AND(&both, &masks[i], mine);
    *n += CPU_COUNT(&both) > 0;
  }
  free(masks);
  rt_comm_destroy(&node);
  return err;
}

rt_err rt_threads_choose(const rt_comm *world, int asked, rt_threads *out)
{
  cpu_set_t mine;
  CPU_ZERO(&mine);
  RT_CHECK(sched_getaffinity(0, sizeof mine, &mine) == 0, RT_ERR_INTERNAL,
           "cannot read this rank's affinity mask");
  *out = (rt_threads){.n_cores = CPU_COUNT(&mine),
                      .n_node_cores = (int)sysconf(_SC_NPROCESSORS_ONLN)};
  RT_TRY(count_sharing(world, &mine, &out->n_sharing));
  const char *env = getenv("OMP_NUM_THREADS");
  const long from_env = env != NULL ? strtol(env, NULL, 10) : 0;
  if (asked > 0) {
    out->n = asked;
    out->why = "run.threads";
  } else if (from_env > 0 && from_env <= 1024) {
    out->n = (int)from_env;
    out->why = "OMP_NUM_THREADS";
  } else {
    out->n = out->n_cores / out->n_sharing;
    out->n = out->n < 1 ? 1 : out->n;
    out->why = "its cores";
  }
  return RT_OK;
}
