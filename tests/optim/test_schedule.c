/** \file test_schedule.c
 *  Learning rate and alpha at their corners.
 *  ranks: 1 */
#include "optim/schedule.h"
#include "support/rt_test.h"

#include <math.h>
#include <string.h>

static void check_at(const rt_schedule *s, int64_t step, double want)
{
  const double got = rt_schedule_at(s, step);
  const bool near = fabs(got - want) <= 1e-12;
  CU_ASSERT(near);
  if (!near)
    fprintf(stderr, "shape %d, step %lld: %.15g, expected %.15g\n", s->shape,
            (long long)step, got, want);
}

static void test_constant(void)
{
  const rt_schedule s = {RT_SHAPE_CONSTANT, 0.7, 0.0, 10, 0, 0};
  check_at(&s, 0, 0.7);
  check_at(&s, 9, 0.7);
  check_at(&s, 100, 0.7);
}

static void test_linear(void)
{
  const rt_schedule up = {RT_SHAPE_LINEAR_UP, 1.0, 0.2, 5, 0, 0};
  const rt_schedule down = {RT_SHAPE_LINEAR_DOWN, 1.0, 0.2, 5, 0, 0};
  for (int i = 0; i < 5; i++) {
    check_at(&up, i, 0.2 + 0.2 * i);
    check_at(&down, i, 1.0 - 0.2 * i);
  }
  check_at(&up, 77, 1.0);
  check_at(&down, 77, 0.2);
}

static void test_cosine(void)
{
  const rt_schedule s = {RT_SHAPE_COSINE, 1.0, 0.1, 25, 4, 0};
  check_at(&s, 0, 0.25); // never 0: the first step would do nothing
  check_at(&s, 2, 0.75);
  check_at(&s, 3, 1.0); // end of the warm-up
  check_at(&s, 4, 1.0); // begin of the cosine
  check_at(&s, 9, 0.1 + 0.9 * 0.5 * (1.0 + sqrt(0.5)));
  check_at(&s, 14, 0.55); // its middle
  check_at(&s, 24, 0.1);
  check_at(&s, 1000, 0.1);
}

static void test_wsd(void)
{
  const rt_schedule s = {RT_SHAPE_WSD, 0.8, 0.2, 20, 4, 6};
  check_at(&s, 0, 0.2);
  check_at(&s, 3, 0.8);
  check_at(&s, 4, 0.8);
  check_at(&s, 13, 0.8); // last of the plateau: 6 steps follow
  check_at(&s, 14, 0.2 + 0.6 * 0.5 * (1.0 + cos(acos(-1.0) / 6.0)));
  check_at(&s, 16, 0.5);
  check_at(&s, 19, 0.2); // the last step is at the floor
  check_at(&s, 20, 0.2);
}

static void test_edges(void)
{
  // no warm-up, no decay, one step: a value, never NaN
  check_at(&(rt_schedule){RT_SHAPE_WSD, 0.8, 0.0, 5, 0, 0}, 4, 0.8);
  check_at(&(rt_schedule){RT_SHAPE_COSINE, 0.8, 0.1, 5, 0, 0}, 0, 0.8);
  check_at(&(rt_schedule){RT_SHAPE_COSINE, 0.8, 0.1, 1, 0, 0}, 0, 0.8);
  check_at(&(rt_schedule){RT_SHAPE_LINEAR_UP, 0.8, 0.1, 1, 0, 0}, 0, 0.1);
  // warm-up as long as the run
  check_at(&(rt_schedule){RT_SHAPE_COSINE, 0.8, 0.1, 4, 4, 0}, 3, 0.8);
  // the decay is the whole run
  check_at(&(rt_schedule){RT_SHAPE_WSD, 1.0, 0.0, 2, 0, 2}, 0, 0.5);
  check_at(&(rt_schedule){RT_SHAPE_WSD, 1.0, 0.0, 2, 0, 2}, 1, 0.0);
}

/** A run too short for warm-up and decay: the decay is what is left. */
static void test_overlap(void)
{
  const rt_schedule s = {RT_SHAPE_WSD, 1.0, 0.0, 10, 6, 8};
  check_at(&s, 5, 1.0);
  check_at(&s, 6, 0.5 * (1.0 + cos(acos(-1.0) / 4.0)));
  check_at(&s, 7, 0.5);
  check_at(&s, 9, 0.0);
}

/** Shapes have no jumps: neighbours differ by a slope's worth. */
static void test_smooth(void)
{
  for (int shape = RT_SHAPE_CONSTANT; shape <= RT_SHAPE_WSD; shape++) {
    const rt_schedule s = {(rt_schedule_shape)shape, 1.0, 0.1, 1000, 100, 200};
    double most = 0.0;
    for (int64_t i = 1; i < 1000; i++)
      most =
          fmax(most, fabs(rt_schedule_at(&s, i) - rt_schedule_at(&s, i - 1)));
    CU_ASSERT(most <= 0.0101);
  }
}

RT_TEST_MAIN("schedule", {"constant", test_constant},
             {"linear up and down", test_linear},
             {"cosine: warm-up, middle, floor", test_cosine},
             {"wsd: warm-up, plateau, decay, floor", test_wsd},
             {"empty ranges give values", test_edges},
             {"wsd: warm-up and decay overlap", test_overlap},
             {"no shape jumps", test_smooth})
