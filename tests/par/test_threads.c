/** \file test_threads.c
 *  Cores of a node shared out to its ranks, and how many threads these have.
 *  ranks: 1 2 4 */
#include "par/threads.h"
#include "support/rt_test.h"

#include <omp.h>
#include <string.h>

enum { MANY = 8 };

/** Cores [from, to). */
static cpu_set_t cores(int from, int to)
{
  cpu_set_t set;
  CPU_ZERO(&set);
  for (int c = from; c < to; c++)
    CPU_SET((size_t)c, &set);
  return set;
}

/** A node of \a n ranks that may all use cores [0, n_cores). */
static rt_threads_spec alike(cpu_set_t sets[MANY], int n, int n_cores)
{
  for (int i = 0; i < n; i++)
    sets[i] = cores(0, n_cores);
  return (rt_threads_spec){.sets = sets, .n_ranks = n};
}

/** Free on the same cores: each rank has its own part, none is left over, and
 *  none is shared. */
static void test_alike(void)
{
  cpu_set_t sets[MANY], part, both;
  rt_threads t;
  for (int n = 2; n <= MANY; n++)
    for (int n_cores = n; n_cores <= 20; n_cores++) {
      rt_threads_spec spec = alike(sets, n, n_cores);
      cpu_set_t seen = cores(0, 0);
      int n_seen = 0;
      for (spec.me = 0; spec.me < n; spec.me++) {
        rt_threads_plan(&spec, &part, &t);
        CPU_AND(&both, &seen, &part);
        CU_ASSERT_EQUAL(CPU_COUNT(&both), 0);
        CPU_OR(&seen, &seen, &part);
        CU_ASSERT(t.bound);
        CU_ASSERT_EQUAL(t.n_sharing, n);
        CU_ASSERT_EQUAL(t.n, CPU_COUNT(&part));
        CU_ASSERT_EQUAL(t.n_cores, t.n);
        CU_ASSERT(t.n == n_cores / n || t.n == n_cores / n + 1);
        CU_ASSERT_STRING_EQUAL(t.why, "its cores");
        n_seen += t.n;
      }
      CU_ASSERT_EQUAL(n_seen, n_cores);
      CU_ASSERT_EQUAL(t.n_given_node, n_cores);
    }
}

/** Bound by the launcher already: nobody is met, nothing is changed. */
static void test_apart(void)
{
  cpu_set_t part;
  rt_threads t;
  const cpu_set_t sets[] = {cores(0, 3), cores(3, 8)};
  rt_threads_spec spec = {.sets = sets, .n_ranks = 2, .me = 1};
  rt_threads_plan(&spec, &part, &t);
  CU_ASSERT_FALSE(t.bound);
  CU_ASSERT(CPU_EQUAL(&part, &sets[1]));
  CU_ASSERT_EQUAL(t.n, 5);
  CU_ASSERT_EQUAL(t.n_sharing, 1);
  CU_ASSERT_EQUAL(t.n_given_node, 8);
  CU_ASSERT_STRING_EQUAL(t.cores, "3-7");
}

/** Sets that overlap, more ranks than cores: nobody is bound, and the threads
 *  are fewer. */
static void test_overlap(void)
{
  cpu_set_t sets[MANY], part;
  rt_threads t;
  sets[0] = cores(0, 4);
  sets[1] = cores(2, 6);
  rt_threads_spec spec = {.sets = sets, .n_ranks = 2};
  rt_threads_plan(&spec, &part, &t);
  CU_ASSERT_FALSE(t.bound);
  CU_ASSERT(CPU_EQUAL(&part, &sets[0]));
  CU_ASSERT_EQUAL(t.n, 2);
  CU_ASSERT_EQUAL(t.n_cores, 4);
  spec = alike(sets, 4, 2);
  for (spec.me = 0; spec.me < 4; spec.me++) {
    rt_threads_plan(&spec, &part, &t);
    CU_ASSERT_FALSE(t.bound);
    CU_ASSERT_EQUAL(t.n, 1); // never none
    CU_ASSERT_EQUAL(t.n_cores, 2);
  }
}

/** What the user says goes first: the deck, then the environment. */
static void test_asked(void)
{
  cpu_set_t sets[MANY], part;
  rt_threads t;
  rt_threads_spec spec = alike(sets, 2, 8);
  spec.from_env = 3;
  rt_threads_plan(&spec, &part, &t);
  CU_ASSERT_EQUAL(t.n, 3);
  CU_ASSERT_STRING_EQUAL(t.why, "OMP_NUM_THREADS");
  CU_ASSERT(t.bound && t.n_cores == 4);
  spec.asked = 6; // more than its part: then all cores
  rt_threads_plan(&spec, &part, &t);
  CU_ASSERT_EQUAL(t.n, 6);
  CU_ASSERT_STRING_EQUAL(t.why, "run.threads");
  CU_ASSERT(!t.bound && t.n_cores == 8);
  CU_ASSERT_STRING_EQUAL(t.cores, "0-7");
  spec.asked = 2;
  spec.by_user = true; // OMP_PLACES
  rt_threads_plan(&spec, &part, &t);
  CU_ASSERT(!t.bound && t.n == 2);
}

static void test_quota(void)
{
  cpu_set_t sets[MANY], part;
  rt_threads t;
  rt_threads_spec spec = alike(sets, 1, 8);
  spec.quota = 2.5;
  spec.quota_of = "a cgroup";
  rt_threads_plan(&spec, &part, &t);
  CU_ASSERT_EQUAL(t.n, 2);
  CU_ASSERT_STRING_EQUAL(t.why, "its CPU quota");
  spec.quota = 0.3;
  rt_threads_plan(&spec, &part, &t);
  CU_ASSERT_EQUAL(t.n, 1);
  spec.quota = 100.0;
  rt_threads_plan(&spec, &part, &t);
  CU_ASSERT_EQUAL(t.n, 8);
  CU_ASSERT_STRING_EQUAL(t.why, "its cores");
}

static const char *crowd_of(rt_threads_spec *spec, const int *n_threads,
                            rt_threads *t)
{
  cpu_set_t part;
  spec->asked = n_threads[spec->me];
  rt_threads_plan(spec, &part, t);
  rt_threads_crowd(spec, n_threads, t);
  return t->crowd;
}

static void test_crowd(void)
{
  cpu_set_t sets[MANY];
  rt_threads t;
  rt_threads_spec spec = alike(sets, 2, 4);
  CU_ASSERT_STRING_EQUAL(crowd_of(&spec, (int[]){2, 2}, &t), "");
  CU_ASSERT_STRING_EQUAL(crowd_of(&spec, (int[]){4, 4}, &t),
                         "8 threads of 2 ranks on the 4 cores that they share");
  spec = alike(sets, 2, 1);
  CU_ASSERT_STRING_EQUAL(crowd_of(&spec, (int[]){1, 1}, &t),
                         "2 threads of 2 ranks on the 1 core that they share");
  sets[1] = cores(5, 6); // does not count: they never meet
  CU_ASSERT_STRING_EQUAL(crowd_of(&spec, (int[]){3, 9}, &t),
                         "3 threads of a rank on its 1 core");
  for (int i = 0; i < 3; i++) // a chain: the ends meet the middle only
    sets[i] = cores(i, i + 2);
  spec.n_ranks = 3;
  CU_ASSERT_STRING_EQUAL(crowd_of(&spec, (int[]){2, 1, 1}, &t), "");
  CU_ASSERT_STRING_EQUAL(crowd_of(&spec, (int[]){2, 2, 1}, &t),
                         "5 threads of 3 ranks on the 4 cores that they share");
  spec = alike(sets, 1, 4);
  spec.quota = 1.5;
  spec.quota_of = "a cgroup";
  CU_ASSERT_STRING_EQUAL(crowd_of(&spec, (int[]){3}, &t),
                         "3 threads of a rank with a CPU quota of 1.5 cores, "
                         "its part of a cgroup");
  spec.by_user = true;
  spec.quota = 0.0;
  CU_ASSERT_STRING_EQUAL(crowd_of(&spec, (int[]){9}, &t), "");
}

/** Cores as text, also when it does not fit. */
static void test_text(void)
{
  cpu_set_t set = cores(2, 5), part;
  rt_threads t;
  rt_threads_spec spec = {.sets = &set, .n_ranks = 1};
  CPU_SET(8, &set);
  CPU_SET(CPU_SETSIZE - 1, &set);
  rt_threads_plan(&spec, &part, &t);
  CU_ASSERT_STRING_EQUAL(t.cores, "2-4,8,1023");
  for (int c = 0; c < CPU_SETSIZE; c += 2)
    CPU_SET((size_t)c, &set);
  rt_threads_plan(&spec, &part, &t);
  CU_ASSERT(strlen(t.cores) < sizeof t.cores);
  CU_ASSERT_STRING_EQUAL(t.cores + strlen(t.cores) - 4, ",...");
}

/** On this machine, for real: all ranks agree on the extremes, and OpenMP does
 *  as was chosen. */
static void test_choose(void)
{
  rt_comm *world;
  rt_threads t;
  RT_OKAY(rt_comm_create(MPI_COMM_WORLD, &world));
  const int asked = 1 + rt_comm_rank(world);
  RT_OKAY(rt_threads_choose(world, asked, &t));
  CU_ASSERT_EQUAL(t.n, asked);
  CU_ASSERT_EQUAL(t.n_least, 1);
  CU_ASSERT_EQUAL(t.n_most, rt_comm_size(world));
  CU_ASSERT_EQUAL(omp_get_max_threads(), asked);
  CU_ASSERT(t.n_cores >= 1 && t.n_cores <= t.n_node_cores);
  cpu_set_t now;
  CU_ASSERT_EQUAL(sched_getaffinity(0, sizeof now, &now), 0);
  CU_ASSERT_EQUAL(CPU_COUNT(&now), t.n_cores);
  char crowd[sizeof t.crowd]; // the first crowded rank's words, on all
  memcpy(crowd, t.crowd, sizeof crowd);
  RT_OKAY(rt_comm_bcast(world, crowd, sizeof crowd, 0));
  CU_ASSERT_STRING_EQUAL(crowd, t.crowd);
  rt_comm_destroy(&world);
}

RT_TEST_MAIN("threads", {"ranks on the same cores", test_alike},
             {"ranks apart", test_apart}, {"overlapping cores", test_overlap},
             {"what the user asks", test_asked}, {"a CPU quota", test_quota},
             {"too many threads", test_crowd}, {"cores as text", test_text},
             {"this machine", test_choose})
