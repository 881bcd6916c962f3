/** \file draws.c
 *  Random numbers of draws, and the ids drawn to entries. */
#include "base/rng.h"
#include "kernels/cpu/merge.h"
#include "kernels/cpu/parallel.h"
#include "kernels/cpu/table_cpu.h"

#include <math.h>
#include <omp.h>
#include <string.h>

/** Sift u[i] down a heap of n whose root is the largest. */
static void sift_down(double *u, int64_t n, int64_t i)
{
  for (;;) {
    int64_t most = i;
    for (int64_t child = 2 * i + 1; child <= 2 * i + 2; child++)
      if (child < n && u[child] > u[most])
        most = child;
    if (most == i)
      return;
    const double x = u[i];
    u[i] = u[most];
    u[most] = x;
    i = most;
  }
}

/** Heapsort, as it needs no memory. */
static void sort(double *u, int64_t n)
{
  for (int64_t i = n / 2; i-- > 0;)
    sift_down(u, n, i);
  for (int64_t left = n - 1; left > 0; left--) {
    const double x = u[0];
    u[0] = u[left];
    u[left] = x;
    sift_down(u, left, 0);
  }
}

/** Probability of the shards below one, and of that one. */
typedef struct share {
  double begin, mass;
} share;

static double mass_of(const rt_shards *s, int shard, double lse)
{
  return rt_shards_get(s, shard, K_STAT_SUM) *
         exp(rt_shards_get(s, shard, K_STAT_MAX) - lse);
}

static share share_of(const rt_shards *s, int shard, double lse)
{
  share x = {0.0, mass_of(s, shard, lse)};
  for (int r = 0; r < shard; r++)
    x.begin += mass_of(s, r, lse);
  return x;
}

/** The last shard of any probability: those behind it have only padding and
 *  masked ids. */
static int last_of(const rt_shards *s, double lse)
{
  int last = s->tp - 1;
  while (last > 0 && mass_of(s, last, lse) == 0.0)
    last--;
  return last;
}

void k_draw_numbers_cpu(k_ctx *ctx, const void *args)
{
  const k_draw_numbers_args *a = args;
  const int64_t n_draws = a->u.cols;
  const k_merged m = {&a->stats, a->u.rows};
  if (!k_merged_fit(ctx, &m, NULL, 0))
    return;
  K_PARALLEL_FOR
  for (int64_t i = 0; i < m.n; i++) {
    double *const u = (double *)a->u.data + i * a->u.ld;
    const rt_shards s = k_merged_shards(&m, i);
    const double lse = k_merged_lse(&m, i);
    const share x = share_of(&s, a->shard, lse);
    const double sum = rt_shards_get(&s, a->shard, K_STAT_SUM);
    const bool last = a->shard == last_of(&s, lse);
    for (int64_t d = 0; d < n_draws; d++)
      u[d] = rt_rng_uniform(a->seed, RT_RNG_DRAW, (uint64_t)a->row,
                            (uint64_t)((a->tok0 + i) * n_draws + d));
    sort(u, n_draws);
    for (int64_t d = 0; d < n_draws; d++) {
      const bool here = u[d] >= x.begin && (u[d] < x.begin + x.mass || last);
      u[d] = here ? (u[d] - x.begin) / x.mass * sum : -1.0;
    }
  }
}

/** Memory of a thread: ids, the times that each was drawn, and the number of
 *  ids by times. */
typedef struct drawn {
  int32_t *id, *times; // [n]
  int32_t *n_of;       // [n + 1]
} drawn;

size_t k_merge_draws_bytes(const k_merge_draws_args *a)
{
  return (3 * (size_t)a->best.cols + 1) * sizeof(int32_t);
}

static drawn drawn_of(const k_ctx *ctx, const k_merge_draws_args *a)
{
  const int64_t n = a->best.cols;
  int32_t *const at =
      (int32_t *)((char *)ctx->workspace +
                  (size_t)omp_get_thread_num() * k_merge_draws_bytes(a));
  return (drawn){at, at + n, at + 2 * n};
}

/** The ids of token \a i in ascending order.  A draw falls into one shard, the
 *  others have -1.  The numbers ascend, and the ids with them. */
static void take_ids(const k_merge_draws_args *a, int64_t i, int32_t *to)
{
  const int64_t n = a->best.cols;
  for (int64_t d = 0; d < n; d++) {
    int32_t id = -1;
    for (int64_t r = 0; r < a->ids.rows; r++) {
      const int32_t of =
          ((const int32_t *)a->ids.data + r * a->ids.ld)[i * n + d];
      id = of > id ? of : id;
    }
    int64_t at = d;
    for (; at > 0 && to[at - 1] > id; at--)
      to[at] = to[at - 1];
    to[at] = id;
  }
}

/** Each id once, with its times; \return their number. */
static int32_t count_times(drawn x, int64_t n)
{
  int32_t count = 0;
  for (int64_t d = 0; d < n; d++) {
    const int32_t id = x.id[d];
    if (count == 0 || id != x.id[count - 1]) {
      x.id[count] = id;
      x.times[count++] = 0;
    }
    x.times[count - 1]++;
  }
  return count;
}

/** Write the entries in descending order of times; those of equal times keep
 *  their order. */
static void write_entries(const k_merge_draws_args *a, int64_t i, drawn x,
                          int32_t count)
{
  const int64_t n = a->best.cols;
  int32_t *const ids = (int32_t *)a->best.data + i * a->best.ld;
  float *const logp = (float *)a->logp.data + i * a->logp.ld;
  memset(x.n_of, 0, (size_t)(n + 1) * sizeof *x.n_of);
  for (int32_t c = 0; c < count; c++)
    x.n_of[x.times[c]]++;
  int32_t first = 0; // place of the first id with these times
  for (int64_t times = n; times >= 0; times--) {
    const int32_t here = x.n_of[times];
    x.n_of[times] = first;
    first += here;
  }
  for (int32_t c = 0; c < count; c++) {
    const int32_t to = x.n_of[x.times[c]]++;
    ids[to] = x.id[c];
    logp[to] = (float)log((double)x.times[c] / (double)n);
  }
  for (int64_t at = count; at < n; at++) {
    ids[at] = -1;
    logp[at] = -INFINITY;
  }
}

void k_merge_draws_cpu(k_ctx *ctx, const void *args)
{
  const k_merge_draws_args *a = args;
  const int64_t n = a->best.cols;
  const k_merged m = {&a->stats, a->count.rows};
  if (!k_merged_fit(ctx, &m, &a->ids, n))
    return;
  K_PARALLEL_FOR
  for (int64_t i = 0; i < m.n; i++) {
    const drawn x = drawn_of(ctx, a);
    take_ids(a, i, x.id);
    const int32_t count = count_times(x, n);
    write_entries(a, i, x, count);
    ((int32_t *)a->count.data)[i] = count;
  }
  k_merged_about(ctx, &m, &a->of, &a->about);
}
