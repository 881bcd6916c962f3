/** \file test_grid.c
 *  dp x tp over all ranks.
 *  ranks: 1 2 4 */
#include "par/grid.h"
#include "support/rt_test.h"

#include <string.h>

static void check_grid(const rt_grid *g, int tp)
{
  CU_ASSERT_EQUAL(g->n_ranks, rt_test_ranks());
  CU_ASSERT(g->tp == tp && g->dp * tp == g->n_ranks);
  CU_ASSERT_EQUAL(g->rank, g->i_dp * tp + g->i_tp);
  CU_ASSERT(g->i_tp >= 0 && g->i_tp < tp && g->i_dp >= 0 && g->i_dp < g->dp);
  CU_ASSERT_EQUAL(rt_comm_size(g->world), g->n_ranks);
  CU_ASSERT_EQUAL(rt_comm_rank(g->world), g->rank);
  CU_ASSERT_EQUAL(rt_comm_size(g->comm_tp), tp);
  CU_ASSERT_EQUAL(rt_comm_rank(g->comm_tp), g->i_tp);
  CU_ASSERT_EQUAL(rt_comm_size(g->comm_dp), g->dp);
  CU_ASSERT_EQUAL(rt_comm_rank(g->comm_dp), g->i_dp);
}

/** Who is in a group: neighbours share tp, strides of tp share dp. */
static void check_members(const rt_grid *g)
{
  int in_tp[4], in_dp[4];
  RT_OKAY(rt_comm_allgather(g->comm_tp, &g->rank, sizeof(int), in_tp));
  RT_OKAY(rt_comm_allgather(g->comm_dp, &g->rank, sizeof(int), in_dp));
  for (int i = 0; i < g->tp; i++)
    CU_ASSERT_EQUAL(in_tp[i], g->i_dp * g->tp + i);
  for (int i = 0; i < g->dp; i++)
    CU_ASSERT_EQUAL(in_dp[i], i * g->tp + g->i_tp);
}

/** Teacher and student each have a grid over the same ranks. */
static void test_grids(void)
{
  rt_comm *world;
  RT_OKAY(rt_comm_create(MPI_COMM_WORLD, &world));
  for (int tp = 1; tp <= rt_test_ranks(); tp++) {
    if (rt_test_ranks() % tp != 0)
      continue;
    rt_grid student, teacher;
    RT_OKAY(rt_grid_init(&student, world, tp, "student.tp"));
    RT_OKAY(rt_grid_init(&teacher, world, rt_test_ranks() / tp, "teacher.tp"));
    check_grid(&student, tp);
    check_grid(&teacher, rt_test_ranks() / tp);
    check_members(&student);
    check_members(&teacher);
    rt_grid_clear(&teacher);
    rt_grid_clear(&student);
    CU_ASSERT(student.world == NULL && student.comm_tp == NULL &&
              student.comm_dp == NULL);
  }
  rt_comm_destroy(&world);
}

static void test_refusals(void)
{
  rt_comm *world;
  rt_grid g;
  char want[128];
  const char *const valid[] = {"", "1", "1, 2", "", "1, 2, 4"};
  RT_OKAY(rt_comm_create(MPI_COMM_WORLD, &world));
  const int wrong[] = {0, -1, 3, rt_test_ranks() + 1, 2 * rt_test_ranks()};
  for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
    snprintf(want, sizeof want,
             "student.tp is %d, which does not divide the %d ranks: use one "
             "of %s, or",
             wrong[i], rt_test_ranks(), valid[rt_test_ranks()]);
    RT_FAILS(rt_grid_init(&g, world, wrong[i], "student.tp"), RT_ERR_CONFIG,
             want);
    rt_grid_clear(&g);
  }
  rt_comm_destroy(&world);
}

RT_TEST_MAIN("grid", {"two grids over the same ranks", test_grids},
             {"a wrong tp is refused with the valid ones", test_refusals})
