/** \file test_phases.c
 *  Every moment belongs to one phase, and the end table adds up.
 *  ranks: 1 2 */
#include "distill/job/phases.h"
#include "support/rt_test.h"

#include "base/clock.h"
#include <string.h>

static double sum_of(const rt_phases *p)
{
  double sum = p->comm_s;
  for (int i = 0; i < RT_N_PHASES; i++)
    sum += p->seconds[i];
  return sum;
}

static void test_exclusive(void)
{
  rt_phases p;
  rt_phases_start(&p, RT_PHASE_SETUP);
  rt_test_sleep(0.02);
  const rt_phase was = rt_phases_to(&p, RT_PHASE_FORWARD);
  CU_ASSERT_EQUAL(was, RT_PHASE_SETUP);
  rt_test_sleep(0.05);
  CU_ASSERT(rt_phases_seconds(&p, RT_PHASE_FORWARD) >= 0.05); // still open
  CU_ASSERT_EQUAL(rt_phases_to(&p, was), RT_PHASE_FORWARD);
  rt_test_sleep(0.02);
  rt_phases_to(&p, RT_PHASE_OTHER);
  CU_ASSERT(p.seconds[RT_PHASE_SETUP] >= 0.04);
  CU_ASSERT(p.seconds[RT_PHASE_FORWARD] >= 0.05);
  CU_ASSERT(p.seconds[RT_PHASE_EVAL] == 0.0);
  CU_ASSERT_DOUBLE_EQUAL(sum_of(&p), p.since - p.began, 1e-9);
}

/** The peers of a late rank wait in a collective, which counts as
 *  communication. */
static void test_communication(void)
{
  rt_comm *world = NULL;
  rt_phases p;
  double x = 1.0;
  RT_OKAY(rt_comm_create(MPI_COMM_WORLD, &world));
  RT_OKAY(rt_comm_barrier(world));
  rt_phases_start(&p, RT_PHASE_LOSS);
  if (rt_comm_rank(world) > 0)
    rt_test_sleep(0.1);
  RT_OKAY(rt_comm_allreduce_host(world, &x, 1, RT_F64, RT_SUM));
  rt_phases_to(&p, RT_PHASE_OTHER);
  if (rt_comm_size(world) > 1 && rt_comm_rank(world) == 0) {
    CU_ASSERT(p.comm_s >= 0.09);
    CU_ASSERT(p.seconds[RT_PHASE_LOSS] < 0.05);
  }
  CU_ASSERT_DOUBLE_EQUAL(sum_of(&p), p.since - p.began, 1e-9);
  rt_comm_destroy(&world);
}

/** Shares in a printed table, in tenths of a percent. */
static int sum_of_shares(char *text, int *total)
{
  int sum = 0, whole, tenth, n_lines = 0;
  for (char *line = strtok(text, "\n"); line; line = strtok(NULL, "\n")) {
    const char *at = strrchr(line, '.');
    if (n_lines++ == 0 || at == NULL)
      continue; // the heading
    while (at > line && at[-1] != ' ')
      at--;
    CU_ASSERT_EQUAL(sscanf(at, "%d.%d", &whole, &tenth), 2);
    if (strncmp(line, "total", 5) == 0)
      *total = 10 * whole + tenth;
    else
      sum += 10 * whole + tenth;
  }
  return sum;
}

static void test_table(void)
{
  rt_comm *world = NULL;
  rt_phases p;
  char text[4096] = "";
  int total = 0;
  RT_OKAY(rt_comm_create(MPI_COMM_WORLD, &world));
  rt_phases_start(&p, RT_PHASE_SETUP);
  for (int i = 0; i < RT_N_PHASES; i++) { // thirds, which do not round well
    rt_phases_to(&p, (rt_phase)i);
    rt_test_sleep(0.003);
  }
  rt_phases_to(&p, RT_PHASE_OTHER);
  rt_phase_table table;
  RT_OKAY(rt_phases_gather(&p, world, &table));
  FILE *to = fmemopen(text, sizeof text, "w");
  rt_phases_print(&table, to);
  fclose(to);
  CU_ASSERT(strstr(text, "student backward") != NULL);
  CU_ASSERT_EQUAL(sum_of_shares(text, &total), 1000);
  CU_ASSERT_EQUAL(total, 1000);
  rt_comm_destroy(&world);
}

/** What one rank waits for another is not what data takes. */
static void test_waiting(void)
{
  rt_comm *world = NULL;
  rt_phases p;
  rt_phase_table t;
  double x = 1.0, nap_s = 0.01;
  const int n = 6; // compared at the second and the last
  RT_OKAY(rt_comm_create(MPI_COMM_WORLD, &world));
  RT_OKAY(rt_comm_barrier(world));
  rt_phases_start(&p, RT_PHASE_LOSS);
  const int rank = rt_comm_rank(world);
  for (int i = 0; i < n; i++) { // in turn each rank is the late one
    if (rank == i % rt_comm_size(world))
      rt_test_sleep(nap_s);
    RT_OKAY(rt_comm_allreduce_host(world, &x, 1, RT_F64, RT_SUM));
  }
  RT_OKAY(rt_phases_gather(&p, world, &t));
  CU_ASSERT_STRING_EQUAL(rt_phase_line_name(RT_PHASE_RANKS), "wait for ranks");
  if (rt_comm_size(world) > 1) {
    // all but the late one waited, each time
    CU_ASSERT(t.avg[RT_PHASE_RANKS] > 0.3 * n * nap_s);
    CU_ASSERT(t.max[RT_PHASE_TRANSFER] > 0.0);
    CU_ASSERT(t.max[RT_PHASE_TRANSFER] < 0.5 * t.avg[RT_PHASE_RANKS]);
  } else {
    CU_ASSERT(t.max[RT_PHASE_RANKS] + t.max[RT_PHASE_TRANSFER] < nap_s);
  }
  rt_comm_destroy(&world);
}

RT_TEST_MAIN("phases", {"exclusive", test_exclusive},
             {"communication is split off", test_communication},
             {"waiting is told from transfer", test_waiting},
             {"the table adds up to 100 %", test_table})
