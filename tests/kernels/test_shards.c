/** \file test_shards.c
 *  What vocabulary shards say of a token, joined, against the whole row. */
#include "kernels/shards.h"

#include "base/rng.h"
#include "support/rt_test.h"

#include <math.h>
#include <string.h>

enum { V = 37, COLS = K_N_STAT + 1 };

/** Statistics of z [n], as the kernel `topk` with spread makes them. */
static void statistics(const double *z, int64_t n, double *s)
{
  memset(s, 0, COLS * sizeof *s);
  s[K_STAT_MAX] = -INFINITY;
  s[K_STAT_IDS] = (double)n;
  for (int64_t v = 0; v < n; v++)
    s[K_STAT_MAX] = fmax(s[K_STAT_MAX], z[v]);
  for (int64_t v = 0; v < n; v++) {
    const double by = z[v] - s[K_STAT_MAX];
    s[K_STAT_SUM] += exp(by);
    s[K_STAT_EXP_Z] += exp(by) * by;
    s[K_STAT_Z] += by;
    s[K_STAT_ZZ] += by * by;
  }
}

/** The row divided into tp shards of equal width, the last ones padded. */
static void test_spread(void)
{
  double z[V], whole[COLS];
  for (int v = 0; v < V; v++)
    z[v] = 40.0 * rt_rng_uniform(1, RT_RNG_DRAW, 2, (uint64_t)v) - 30.0;
  statistics(z, V, whole);
  double mean = 0.0, square = 0.0, entropy = 0.0;
  const double lse = whole[K_STAT_MAX] + log(whole[K_STAT_SUM]);
  for (int v = 0; v < V; v++) {
    mean += z[v] / V;
    entropy -= exp(z[v] - lse) * (z[v] - lse);
  }
  for (int v = 0; v < V; v++)
    square += (z[v] - mean) * (z[v] - mean) / V;
  for (int tp = 1; tp <= 8; tp++) {
    const int64_t width = tp == 8 ? 16 : (V - 1) / tp + 1; // 8: empty shards
    double all[8 * COLS];
    for (int r = 0; r < tp; r++) {
      const int64_t v0 = r * width, left = V - v0;
      statistics(z + v0,
                 left < 0       ? 0
                 : left < width ? left
                                : width,
                 all + r * COLS);
      all[r * COLS + K_N_STAT] = r;
    }
    const rt_shards s = {all, COLS, tp};
    double e, d;
    rt_shards_spread(&s, &e, &d);
    CU_ASSERT_DOUBLE_EQUAL(e, entropy, 1e-12);
    CU_ASSERT_DOUBLE_EQUAL(d, sqrt(square), 1e-12);
    CU_ASSERT_DOUBLE_EQUAL(
        rt_exp_sum_log(rt_shards_exp_sum(&s, K_STAT_MAX, K_STAT_SUM)), lse,
        1e-12);
    const double exp_z = rt_shards_scaled(&s, K_STAT_SUM, K_STAT_MAX, lse);
    CU_ASSERT_DOUBLE_EQUAL(exp_z, 1.0, 1e-12);
    CU_ASSERT_DOUBLE_EQUAL(rt_shards_sum(&s, K_N_STAT), tp * (tp - 1) / 2.0,
                           0.0);
  }
}

/** Shards of which one has nothing above -inf, and NaN in any of them: a token
 *  of which nothing is known is not one of entropy 0. */
static void test_impossible(void)
{
  const double z[] = {1.0, -2.0, 0.5},
               lse = log(exp(1.0) + exp(-2.0) + exp(0.5));
  double all[2 * COLS], e, d, entropy = 0.0, square = 0.0;
  for (int v = 0; v < 3; v++) {
    entropy -= exp(z[v] - lse) * (z[v] - lse);
    square += (z[v] + 0.5 / 3.0) * (z[v] + 0.5 / 3.0) / 3.0; // mean -0.5 / 3
  }
  for (int empty = 0; empty < 2; empty++) {
    statistics(z, 3, all + (1 - empty) * COLS);
    statistics(z, 0, all + empty * COLS);
    const rt_shards s = {all, COLS, 2};
    rt_shards_spread(&s, &e, &d);
    CU_ASSERT_DOUBLE_EQUAL(e, entropy, 1e-15);
    CU_ASSERT_DOUBLE_EQUAL(d, sqrt(square), 1e-15);
    all[(1 - empty) * COLS + K_STAT_SUM] = NAN;
    all[(1 - empty) * COLS + K_STAT_ZZ] = NAN;
    rt_shards_spread(&s, &e, &d);
    CU_ASSERT(isnan(e) && isnan(d));
  }
}

/** One shard: nothing is summed or rescaled. */
static void test_one(void)
{
  const double at[COLS] = {3.0, 2.0, -1.5, 0.25};
  const rt_shards s = {at, COLS, 1};
  const rt_exp_sum x = rt_shards_exp_sum(&s, K_STAT_MAX, K_STAT_SUM);
  CU_ASSERT_EQUAL(x.max, 3.0);
  CU_ASSERT_EQUAL(x.sum, 2.0);
  CU_ASSERT_EQUAL(rt_shards_sum(&s, K_STAT_LABEL), -1.5);
  CU_ASSERT_EQUAL(rt_shards_get(&s, 0, K_STAT_DOT), 0.25);
}

RT_TEST_MAIN("shards", {"shards of any width make the whole row", test_spread},
             {"shards without a possible id", test_impossible},
             {"one shard is the row", test_one})
