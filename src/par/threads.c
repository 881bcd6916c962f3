/** \file threads.c
 *  Cores of a node to its ranks, and threads to cores.
 *
 *  mpirun and Slurm bind in many ways: each rank to a core, to a socket, or all
 *  to the whole node.  Where ranks are free on the same cores, their threads
 *  would meet on one core while another idles, so each takes its part. */
#include "par/threads.h"

#include <omp.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

/** The cores in \a set as "0-3,8"; ",..." where it gets too long. */
static void print_cores(const cpu_set_t *set, char *text, size_t n)
{
  size_t at = 0;
  text[0] = '\0';
  for (size_t c = 0; c < CPU_SETSIZE; c++) {
    if (!CPU_ISSET(c, set))
      continue;
    size_t last = c;
    while (last + 1 < CPU_SETSIZE && CPU_ISSET(last + 1, set))
      last++;
    if (n - at < 16) {
      snprintf(text + at, n - at, ",...");
      return;
    }
    at += (size_t)snprintf(text + at, n - at, "%s%zu", at > 0 ? "," : "", c);
    if (last > c)
      at += (size_t)snprintf(text + at, n - at, "-%zu", last);
    c = last;
  }
}

/** Cores number \a from to \a to - 1 of those in \a all. */
static cpu_set_t part_of(const cpu_set_t *all, int from, int to)
{
  cpu_set_t part;
  CPU_ZERO(&part);
  int i = 0;
  for (size_t c = 0; c < CPU_SETSIZE; c++) {
    if (!CPU_ISSET(c, all))
      continue;
    if (i >= from && i < to)
      CPU_SET(c, &part);
    i++;
  }
  return part;
}

/** This rank's part of the cores, out of what \a sets [n] give to the ranks of
 *  the node, of which it is number \a me. */
static cpu_set_t share(const cpu_set_t *sets, int n, int me, rt_threads *out)
{
  const cpu_set_t *mine = &sets[me];
  cpu_set_t any, both;
  int n_alike = 0, place = 0; // ranks with just these cores; those before us
  CPU_ZERO(&any);
  for (int i = 0; i < n; i++) {
    CPU_OR(&any, &any, &sets[i]);
    CPU_AND(&both, mine, &sets[i]);
    out->n_sharing += CPU_COUNT(&both) > 0;
    n_alike += CPU_EQUAL(mine, &sets[i]);
    place += i < me && CPU_EQUAL(mine, &sets[i]);
  }
  const int n_cores = CPU_COUNT(mine);
  out->n_ranks_node = n;
  out->n_given_node = CPU_COUNT(&any);
  // alone, too many, or in overlapping sets that no simple rule divides
  if (n_alike < 2 || n_alike != out->n_sharing || n_cores < n_alike)
    return *mine;
  out->bound = true;
  return part_of(mine, place * n_cores / n_alike,
                 (place + 1) * n_cores / n_alike);
}

/** Core sets of all ranks of this node, \a sets [n]; ours is \a me. */
static rt_err gather_sets(const rt_comm *world, cpu_set_t **sets, int *n,
                          int *me)
{
  rt_comm *node = NULL;
  MPI_Comm shared = MPI_COMM_NULL;
  cpu_set_t mine;
  CPU_ZERO(&mine);
  RT_CHECK(sched_getaffinity(0, sizeof mine, &mine) == 0, RT_ERR_INTERNAL,
           "cannot read this rank's affinity mask");
  RT_CHECK(MPI_Comm_split_type(rt_comm_mpi(world), MPI_COMM_TYPE_SHARED, 0,
                               MPI_INFO_NULL, &shared) == MPI_SUCCESS,
           RT_ERR_INTERNAL, "MPI_Comm_split_type failed");
  rt_err err = rt_comm_create(shared, &node);
  MPI_Comm_free(&shared);
  if (err == RT_OK) {
    *n = rt_comm_size(node);
    *me = rt_comm_rank(node);
    *sets = calloc((size_t)*n, sizeof **sets);
    if (*sets == NULL)
      err = RT_FAIL(RT_ERR_MEM, "%d affinity masks", *n);
  }
  if (err == RT_OK)
    err = rt_comm_allgather(node, &mine, sizeof mine, *sets);
  rt_comm_destroy(&node);
  return err;
}

static void choose_number(int asked, rt_threads *out)
{
  const char *env = getenv("OMP_NUM_THREADS");
  const long from_env = env != NULL ? strtol(env, NULL, 10) : 0;
  if (asked > 0) {
    out->n = asked;
    out->why = "run.threads";
  } else if (from_env > 0 && from_env <= 1024) {
    out->n = (int)from_env;
    out->why = "OMP_NUM_THREADS";
  } else {
    const bool overlap = !out->bound && out->n_sharing > 1;
    out->n = overlap ? out->n_cores / out->n_sharing : out->n_cores;
    out->n = out->n < 1 ? 1 : out->n;
    out->why = "its cores";
  }
}

/** Number and place of this rank's threads. */
static void settle(const cpu_set_t *all, const cpu_set_t *part, int asked,
                   rt_threads *out)
{
  out->n_cores = CPU_COUNT(part);
  choose_number(asked, out);
  const bool by_user =
      getenv("OMP_PROC_BIND") != NULL || getenv("OMP_PLACES") != NULL;
  // more threads than our part has cores: let them use all
  out->bound = out->bound && !by_user && out->n <= out->n_cores &&
               sched_setaffinity(0, sizeof *part, part) == 0;
  if (!out->bound)
    part = all;
  out->n_cores = CPU_COUNT(part);
  print_cores(part, out->cores, sizeof out->cores);
  out->n_node_cores = (int)sysconf(_SC_NPROCESSORS_ONLN);
  // OMP_PROC_BIND has tied this thread to one core already: nothing to count
  out->crowded = !by_user && (out->n * out->n_ranks_node > out->n_given_node ||
                              out->n > out->n_cores);
  omp_set_num_threads(out->n);
}

/** The fewest and the most threads of any rank; is any node crowded? */
static rt_err compare(const rt_comm *world, rt_threads *out)
{
  int v[3] = {out->n, -out->n, out->crowded};
  RT_TRY(rt_comm_allreduce_host(world, v, 3, RT_I32, RT_MAX));
  out->n_most = v[0];
  out->n_least = -v[1];
  out->crowded = v[2] != 0;
  return RT_OK;
}

rt_err rt_threads_choose(const rt_comm *world, int asked, rt_threads *out)
{
  cpu_set_t *sets = NULL;
  int n = 0, me = 0;
  *out = (rt_threads){.n = 1, .why = ""};
  const rt_err err = gather_sets(world, &sets, &n, &me);
  if (err == RT_OK) {
    const cpu_set_t part = share(sets, n, me, out);
    settle(&sets[me], &part, asked, out);
  }
  free(sets);
  RT_TRY(rt_agree(world, err));
  return compare(world, out);
}
