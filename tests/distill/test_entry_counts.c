/** \file test_entry_counts.c
 *  Entries by p and k against plain counting, over any ranks.
 *  ranks: 1 2 4 */
#include "base/rng.h"
#include "distill/capture/entry_counts.h"
#include "support/rt_test.h"

#include <math.h>
#include <string.h>

enum { MOST = 60, TOKENS = 400 };

/** Token \a t: falling log-probs whose mass stays below 1; some have none. */
static int make_token(int t, float logp[MOST])
{
  const int n = t % 7 == 3 ? 0 : t % (MOST + 1);
  double left = 1.0, p = 1.0;
  for (int i = 0; i < n; i++) {
    const double share =
        0.1 + 0.5 * rt_rng_uniform(5, RT_RNG_TEST, (uint64_t)t, (uint64_t)i);
    p = fmin(p, left * share);
    left -= p;
    logp[i] = (float)log(p);
  }
  return n;
}

/** How many entries top-p, then top-k, keep, and their mass. */
static int keep(const float *logp, int n, double top_p, int64_t top_k,
                double *mass)
{
  int i = 0;
  double all = 0.0;
  *mass = 0.0;
  while (i < n && !(i > 0 && all >= top_p)) {
    all += exp((double)logp[i]);
    if (i < top_k)
      *mass = all;
    i++;
  }
  return i < top_k ? i : (int)top_k;
}

static int by_value(const void *a, const void *b)
{
  return *(const int *)a - *(const int *)b;
}

/** The smallest count that at least \a share of the tokens do not exceed. */
static int percentile(const int *sorted, double share)
{
  int i = 0;
  while (i + 1 < share * TOKENS)
    i++;
  return sorted[i];
}

static void check_cell(const rt_entry_cell *cell, bool widest_p)
{
  float logp[MOST];
  int counts[TOKENS];
  double entries = 0.0, mass = 0.0, one;
  const double top_p = widest_p ? 2.0 : cell->top_p; // all that is there
  for (int t = 0; t < TOKENS; t++) {
    const int n = make_token(t, logp);
    counts[t] = keep(logp, n, top_p, cell->top_k, &one);
    entries += counts[t];
    mass += one;
  }
  qsort(counts, TOKENS, sizeof *counts, by_value);
  CU_ASSERT_DOUBLE_EQUAL(cell->entries, entries / TOKENS, 1e-9);
  CU_ASSERT_DOUBLE_EQUAL(cell->mass, mass / TOKENS, 1e-9);
  CU_ASSERT_EQUAL(cell->median, percentile(counts, 0.5));
  CU_ASSERT_EQUAL(cell->most95, percentile(counts, 0.95));
  CU_ASSERT_EQUAL(cell->most99, percentile(counts, 0.99));
}

/** The tokens dealt to the ranks in turn, then summed. */
static void test_grid(void)
{
  rt_comm *world;
  rt_entry_counts *c;
  float logp[MOST];
  int n_p, n_k;
  RT_OKAY(rt_comm_create(MPI_COMM_WORLD, &world));
  RT_OKAY(rt_entry_counts_create(0.97, MOST, &c));
  for (int t = rt_comm_rank(world); t < TOKENS; t += rt_comm_size(world))
    rt_entry_counts_add(c, logp, make_token(t, logp));
  RT_OKAY(rt_entry_counts_sum(c, world));
  CU_ASSERT_EQUAL(rt_entry_counts_tokens(c), TOKENS);
  rt_entry_counts_shape(c, &n_p, &n_k);
  CU_ASSERT_EQUAL(n_p, 5); // 0.5 0.8 0.9 0.95, and what was given
  CU_ASSERT_EQUAL(n_k, 4); // 10 20 50, and what was given
  for (int p = 0; p < n_p; p++)
    for (int k = 0; k < n_k; k++) {
      const rt_entry_cell cell = rt_entry_counts_cell(c, p, k);
      check_cell(&cell, p == n_p - 1);
    }
  CU_ASSERT_EQUAL(rt_entry_counts_cell(c, n_p - 1, 0).top_p, 0.97);
  CU_ASSERT_EQUAL(rt_entry_counts_cell(c, 0, n_k - 1).top_k, MOST);
  rt_entry_counts_destroy(&c);
  rt_entry_counts_destroy(&c);
  rt_comm_destroy(&world);
}

/** Draws are not kept by probability: only counted.  A rank may have none. */
static void test_draws(void)
{
  rt_comm *world;
  rt_entry_counts *c;
  int n_p, n_k;
  float logp[MOST] = {0};
  RT_OKAY(rt_comm_create(MPI_COMM_WORLD, &world));
  RT_OKAY(rt_entry_counts_create(0.0, MOST, &c));
  for (int t = 0; t < 10 && rt_comm_rank(world) == 0; t++)
    rt_entry_counts_add(c, logp, t);
  RT_OKAY(rt_entry_counts_sum(c, world));
  rt_entry_counts_shape(c, &n_p, &n_k);
  CU_ASSERT(n_p == 1 && n_k == 1);
  const rt_entry_cell cell = rt_entry_counts_cell(c, 0, 0);
  CU_ASSERT_DOUBLE_EQUAL(cell.entries, 4.5, 1e-12);
  CU_ASSERT(cell.median == 4 && cell.most95 == 9 && cell.most99 == 9);
  rt_entry_counts_destroy(&c);
  rt_comm_destroy(&world);
}

/** Few entries, or a small p: no columns and rows beyond what is there. */
static void test_narrow(void)
{
  rt_entry_counts *c;
  int n_p, n_k;
  RT_OKAY(rt_entry_counts_create(0.5, 10, &c));
  rt_entry_counts_shape(c, &n_p, &n_k);
  CU_ASSERT(n_p == 1 && n_k == 1);
  const float logp[] = {-0.1F, -3.0F};
  rt_entry_counts_add(c, logp, 2);
  const rt_entry_cell cell = rt_entry_counts_cell(c, 0, 0);
  CU_ASSERT(cell.entries == 2.0 && cell.median == 2); // as kept, not cut again
  rt_entry_counts_destroy(&c);
}

RT_TEST_MAIN("entry_counts", {"the grid", test_grid}, {"draws", test_draws},
             {"few entries", test_narrow})
