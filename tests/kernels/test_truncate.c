/** \file test_truncate.c
 *  Top-p, top-k and the renormalised target.
 *  ranks: 1 */
#include "kernels/truncate.h"
#include "support/rt_test.h"

#include <math.h>
#include <string.h>

static void logs(const double *p, int n, float *logp)
{
  for (int i = 0; i < n; i++)
    logp[i] = (float)log(p[i]);
}

static void test_top_p(void)
{
  const double p[5] = {0.5, 0.25, 0.125, 0.0625, 0.0625};
  float l[5];
  logs(p, 5, l);
  // the crossing token is kept, and at least one
  CU_ASSERT_EQUAL(rt_truncate_count(l, 5, (rt_truncation){0.3, 50}), 1);
  CU_ASSERT_EQUAL(rt_truncate_count(l, 5, (rt_truncation){0.6, 50}), 2);
  CU_ASSERT_EQUAL(rt_truncate_count(l, 5, (rt_truncation){0.76, 50}), 3);
  CU_ASSERT_EQUAL(rt_truncate_count(l, 5, (rt_truncation){1.0, 50}), 5);
  CU_ASSERT_EQUAL(rt_truncate_count(l, 5, (rt_truncation){0.99, 2}), 2);
  CU_ASSERT_EQUAL(rt_truncate_count(l, 0, (rt_truncation){0.5, 2}), 0);
}

static void test_target(void)
{
  const double p[3] = {0.4, 0.2, 0.1};
  float l[4] = {0};
  double t[4] = {[3] = 7.0}; // one more than is asked for
  logs(p, 3, l);
  double entropy = rt_truncate_target(l, 3, 1.0, t);
  CU_ASSERT_DOUBLE_EQUAL(t[0], 4.0 / 7.0, 1e-7);
  CU_ASSERT_DOUBLE_EQUAL(t[0] + t[1] + t[2], 1.0, 1e-15);
  double want = 0.0;
  for (int i = 0; i < 3; i++)
    want -= t[i] * log(t[i]);
  CU_ASSERT_DOUBLE_EQUAL(entropy, want, 1e-12);
  // tau 2 takes square roots, then renormalises
  entropy = rt_truncate_target(l, 3, 2.0, t);
  const double sum = sqrt(0.4) + sqrt(0.2) + sqrt(0.1);
  CU_ASSERT_DOUBLE_EQUAL(t[1], sqrt(0.2) / sum, 1e-7);
  CU_ASSERT(entropy > want); // flatter
  CU_ASSERT_EQUAL(t[3], 7.0);
}

/** An id of probability 0, from a logit of -inf, has no part in the entropy. */
static void test_impossible(void)
{
  const float l[3] = {logf(0.5F), logf(0.5F), -INFINITY};
  double t[3];
  CU_ASSERT_DOUBLE_EQUAL(rt_truncate_target(l, 3, 1.0, t), log(2.0), 1e-15);
  CU_ASSERT_EQUAL(t[0], 0.5);
  CU_ASSERT_EQUAL(t[2], 0.0);
}

static void test_single(void)
{
  const float l[1] = {-3.0f};
  double t[1];
  CU_ASSERT_DOUBLE_EQUAL(rt_truncate_target(l, 1, 0.05, t), 0.0, 1e-15);
  CU_ASSERT_DOUBLE_EQUAL(t[0], 1.0, 0.0);
}

RT_TEST_MAIN("truncate", {"top-p, then top-k", test_top_p},
             {"renormalised at tau", test_target},
             {"an impossible id", test_impossible},
             {"one entry has probability 1", test_single})
