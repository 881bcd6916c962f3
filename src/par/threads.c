/** \file threads.c
 *  Assigns the cores of a node to its ranks, and threads to cores.
 *
 *  mpirun and Slurm bind in many ways: each rank to a core, to a socket, or all
 *  to the whole node.  If several ranks may use the same cores, their threads
 *  could share a core while another one is idle, so each rank takes a part of
 *  them. */
#include "par/threads.h"

#include "par/node_limits.h"
#include <limits.h>
#include <omp.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

/** Print the cores in \a set as "0-3,8", followed by ",..." if too long. */
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

/** The cores with index \a from to \a to - 1 in \a all. */
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

/** This rank's part of the cores. */
static cpu_set_t share(const rt_threads_spec *spec, rt_threads *out)
{
  const cpu_set_t *const sets = spec->sets, *const mine = &sets[spec->me];
  cpu_set_t any, both;
  // number of ranks with exactly these cores, and of those with a lower rank
  int n_alike = 0, place = 0;
  CPU_ZERO(&any);
  for (int i = 0; i < spec->n_ranks; i++) {
    CPU_OR(&any, &any, &sets[i]);
    CPU_AND(&both, mine, &sets[i]);
    out->n_sharing += CPU_COUNT(&both) > 0;
    n_alike += CPU_EQUAL(mine, &sets[i]);
    place += i < spec->me && CPU_EQUAL(mine, &sets[i]);
  }
  const int n_cores = CPU_COUNT(mine);
  out->n_given_node = CPU_COUNT(&any);
  // a single rank, too many ranks, or overlapping sets that no simple rule
  // divides
  if (n_alike < 2 || n_alike != out->n_sharing || n_cores < n_alike)
    return *mine;
  out->bound = true;
  return part_of(mine, place * n_cores / n_alike,
                 (place + 1) * n_cores / n_alike);
}

static void choose_number(const rt_threads_spec *spec, rt_threads *out)
{
  if (spec->asked > 0) {
    out->n = spec->asked;
    out->why = "run.threads";
  } else if (spec->from_env > 0) {
    out->n = spec->from_env;
    out->why = "OMP_NUM_THREADS";
  } else {
    const bool overlap = !out->bound && out->n_sharing > 1;
    out->n = overlap ? out->n_cores / out->n_sharing : out->n_cores;
    out->why = "its cores";
    if (out->quota > 0.0 && out->quota < out->n) {
      out->n = (int)out->quota;
      out->why = "its CPU quota";
    }
    out->n = out->n < 1 ? 1 : out->n;
  }
}

static void take_cores(const cpu_set_t *cores, rt_threads *out)
{
  out->n_cores = CPU_COUNT(cores);
  print_cores(cores, out->cores, sizeof out->cores);
}

void rt_threads_plan(const rt_threads_spec *spec, cpu_set_t *part,
                     rt_threads *out)
{
  *out = (rt_threads){.quota = spec->quota};
  snprintf(out->quota_of, sizeof out->quota_of, "%s",
           spec->quota_of != NULL ? spec->quota_of : "");
  *part = share(spec, out);
  out->n_cores = CPU_COUNT(part);
  choose_number(spec, out);
  // more threads than cores in our part: allow them all cores
  out->bound = out->bound && !spec->by_user && out->n <= out->n_cores;
  if (!out->bound)
    *part = spec->sets[spec->me];
  take_cores(part, out);
}

/** The cores of all ranks that share cores with \a mine, directly or through
 *  other ranks: only all these ranks together can fill them. */
static cpu_set_t reach(const cpu_set_t *sets, int n_ranks,
                       const cpu_set_t *mine)
{
  cpu_set_t all = *mine, both;
  for (int n_before = 0; CPU_COUNT(&all) != n_before;) {
    n_before = CPU_COUNT(&all);
    for (int i = 0; i < n_ranks; i++) {
      CPU_AND(&both, &all, &sets[i]);
      if (CPU_COUNT(&both) > 0)
        CPU_OR(&all, &all, &sets[i]);
    }
  }
  return all;
}

void rt_threads_crowd(const rt_threads_spec *spec, const int *n_threads,
                      rt_threads *out)
{
  const cpu_set_t *const mine = &spec->sets[spec->me];
  const cpu_set_t all = reach(spec->sets, spec->n_ranks, mine);
  int threads = 0, ranks = 0;
  for (int i = 0; i < spec->n_ranks; i++) {
    cpu_set_t both;
    CPU_AND(&both, &all, &spec->sets[i]);
    if (CPU_COUNT(&both) == 0)
      continue;
    threads += n_threads[i];
    ranks++;
  }
  // OMP_PROC_BIND has already bound this thread to one core, so there is
  // nothing to count
  if (!spec->by_user && ranks > 1 && threads > CPU_COUNT(&all))
    snprintf(out->crowd, sizeof out->crowd,
             "%d threads of %d ranks on the %d core%s that they share", threads,
             ranks, CPU_COUNT(&all), CPU_COUNT(&all) == 1 ? "" : "s");
  else if (!spec->by_user && out->n > out->n_cores)
    snprintf(out->crowd, sizeof out->crowd,
             "%d threads of a rank on its %d core%s", out->n, out->n_cores,
             out->n_cores == 1 ? "" : "s");
  else if (out->quota > 0.0 && out->n > 1 && out->n > out->quota)
    snprintf(
        out->crowd, sizeof out->crowd,
        "%d threads of a rank with a CPU quota of %.1f cores, its part of %s",
        out->n, out->quota, out->quota_of);
}

static rt_err affinity(cpu_set_t *mine)
{
  CPU_ZERO(mine);
  RT_CHECK(sched_getaffinity(0, sizeof *mine, mine) == 0, RT_ERR_INTERNAL,
           "cannot read this rank's affinity mask");
  return RT_OK;
}

/** The core sets of all ranks of \a node, in a new array that the caller frees.
 */
static rt_err gather_sets(const rt_comm *world, const rt_comm *node,
                          cpu_set_t **sets)
{
  const size_t n = (size_t)rt_comm_size(node);
  cpu_set_t mine;
  rt_err err = affinity(&mine);
  *sets = calloc(n, sizeof **sets);
  if (err == RT_OK && *sets == NULL)
    err = RT_FAIL(RT_ERR_MEM, "%zu affinity masks", n);
  RT_TRY(rt_agree(world, err));
  return rt_comm_allgather(node, &mine, sizeof mine, *sets);
}

/** This rank's part of the CPU quota that leaves it the least, and the file \a
 *  of which it comes. */
static rt_err share_quota(const rt_comm *world, double *quota, char *of,
                          size_t n)
{
  rt_limits quotas;
  double n_ranks[RT_LIMITS_MAX];
  *quota = 0.0;
  rt_limits_cores("/", &quotas);
  RT_TRY(rt_limits_total(world, &quotas, 1.0, n_ranks));
  for (int i = 0; i < quotas.n; i++) {
    const double part = quotas.limit[i].amount / n_ranks[i];
    if (*quota > 0.0 && part >= *quota)
      continue;
    *quota = part;
    snprintf(of, n, "%s", quotas.limit[i].name);
  }
  return RT_OK;
}

/** Cores of the ranks of \a node, environment and quota: owns spec->sets. */
static rt_err look(const rt_comm *world, const rt_comm *node, cpu_set_t **sets,
                   rt_threads_spec *spec)
{
  RT_TRY(gather_sets(world, node, sets));
  RT_ASSERT(*sets != NULL);
  const char *const env = getenv("OMP_NUM_THREADS");
  const long from_env = env != NULL ? strtol(env, NULL, 10) : 0;
  spec->sets = *sets;
  spec->n_ranks = rt_comm_size(node);
  spec->me = rt_comm_rank(node);
  spec->from_env = from_env > 0 && from_env <= 1024 ? (int)from_env : 0;
  spec->by_user =
      getenv("OMP_PROC_BIND") != NULL || getenv("OMP_PLACES") != NULL;
  return RT_OK;
}

/** Apply the plan: bind this process and set the number of threads. */
static void settle(const rt_threads_spec *spec, const cpu_set_t *part,
                   rt_threads *out)
{
  if (out->bound && sched_setaffinity(0, sizeof *part, part) != 0) {
    out->bound = false;
    take_cores(&spec->sets[spec->me], out);
  }
  out->n_node_cores = (int)sysconf(_SC_NPROCESSORS_ONLN);
  omp_set_num_threads(out->n);
}

/** Minimum and maximum number of threads over all ranks. */
static rt_err compare(const rt_comm *world, rt_threads *out)
{
  int v[2] = {out->n, -out->n};
  RT_TRY(rt_comm_allreduce_host(world, v, 2, RT_I32, RT_MAX));
  out->n_most = v[0];
  out->n_least = -v[1];
  return RT_OK;
}

/** Distribute the text of the first oversubscribed rank to all ranks. */
static rt_err spread_crowd(const rt_comm *world, rt_threads *out)
{
  const int none = INT_MAX;
  int first = out->crowd[0] != '\0' ? rt_comm_rank(world) : none;
  RT_TRY(rt_comm_allreduce_host(world, &first, 1, RT_I32, RT_MIN));
  if (first == none)
    return RT_OK;
  return rt_comm_bcast(world, out->crowd, sizeof out->crowd, first);
}

/** Find oversubscription among the ranks of \a node. */
static rt_err find_crowd(const rt_comm *world, const rt_comm *node,
                         const rt_threads_spec *spec, rt_threads *out)
{
  int *const n_threads = calloc((size_t)spec->n_ranks, sizeof *n_threads);
  rt_err err =
      rt_agree(world, n_threads != NULL
                          ? RT_OK
                          : RT_FAIL(RT_ERR_MEM, "%d numbers", spec->n_ranks));
  if (err == RT_OK)
    err = rt_comm_allgather(node, &out->n, sizeof out->n, n_threads);
  if (err == RT_OK) {
    rt_threads_crowd(spec, n_threads, out);
    err = spread_crowd(world, out);
  }
  free(n_threads);
  return err;
}

/** The same, given the communicator of the node. */
static rt_err choose(const rt_comm *world, const rt_comm *node, int asked,
                     cpu_set_t **sets, rt_threads *out)
{
  char quota_of[sizeof out->quota_of] = "";
  rt_threads_spec spec = {.asked = asked, .quota_of = quota_of};
  cpu_set_t part;
  RT_TRY(look(world, node, sets, &spec));
  RT_TRY(share_quota(world, &spec.quota, quota_of, sizeof quota_of));
  rt_threads_plan(&spec, &part, out);
  settle(&spec, &part, out);
  RT_TRY(compare(world, out));
  return find_crowd(world, node, &spec, out);
}

rt_err rt_threads_choose(const rt_comm *world, int asked, rt_threads *out)
{
  cpu_set_t *sets = NULL;
  rt_comm *node = NULL;
  *out = (rt_threads){.n = 1, .why = ""};
  rt_err err = rt_comm_split_node(world, &node);
  if (err == RT_OK)
    err = choose(world, node, asked, &sets, out);
  free(sets);
  rt_comm_destroy(&node);
  return err;
}
