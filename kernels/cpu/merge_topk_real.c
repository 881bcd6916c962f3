/** \file merge_topk_real.c
 *  The likeliest entries of each token from the sorted lists of all shards.
 *
 *  The K largest logits of the whole vocabulary are among the K largest of each
 *  shard.  Every rank merges the same lists in the same order. */
#include "kernels/cpu/merge.h"
#include "kernels/cpu/real.h"
#include "kernels/cpu/table_cpu.h"

/** The entries of a token: room for k. */
typedef struct entries {
  int32_t *ids;
  float *logp;
  int64_t k;
} entries;

/** Merge the lists of token \a i in descending order; ties by lower id, which
 *  is in the lower shard.  \return the number of entries */
static int64_t merge(const k_merge_topk_args *a, int64_t i, double lse,
                     entries to)
{
  const int tp = (int)a->top.rows;
  RT_ASSERT(tp > 0);
  int64_t next[tp]; // position in each shard's list
  memset(next, 0, sizeof next);
  int64_t count = 0;
  for (; count < to.k; count++) {
    int best = -1;
    double best_logit = -INFINITY;
    for (int r = 0; r < tp; r++) {
      const int64_t at = i * to.k + next[r];
      if (next[r] == to.k ||
          ((const int32_t *)a->ids.data + r * a->ids.ld)[at] < 0)
        continue;
      const double logit = (double)k_row_of(&a->top, r)[at];
      if (best < 0 || logit > best_logit) {
        best = r;
        best_logit = logit;
      }
    }
    if (best < 0 || best_logit == -INFINITY)
      break; // an id without probability is no entry
    to.ids[count] = ((const int32_t *)a->ids.data +
                     best * a->ids.ld)[i * to.k + next[best]++];
    to.logp[count] = (float)(best_logit - lse);
  }
  return count;
}

/** Different logits may give the same log-prob; then order by id, as in every
 *  dataset. */
static void order_ties(int64_t n, entries e)
{
  for (int64_t i = 1; i < n; i++) {
    const int32_t id = e.ids[i];
    int64_t at = i;
    for (; at > 0 && e.logp[at - 1] == e.logp[i] && e.ids[at - 1] > id; at--)
      e.ids[at] = e.ids[at - 1];
    e.ids[at] = id;
  }
}

K_KERNEL(k_merge_topk_cpu_f32, k_merge_topk_cpu_f64, k_merge_topk_cpu_bf16)
{
  const k_merge_topk_args *a = args;
  const int64_t k = a->best.cols;
  const k_merged m = {&a->stats, a->count.rows};
  if (!k_merged_fit(ctx, &m, &a->top, k))
    return;
  K_PARALLEL_FOR
  for (int64_t i = 0; i < m.n; i++) {
    const entries e = {(int32_t *)a->best.data + i * a->best.ld,
                       (float *)a->logp.data + i * a->logp.ld, k};
    const int64_t found = merge(a, i, k_merged_lse(&m, i), e);
    order_ties(found, e);
    const int64_t count = rt_truncate_count(e.logp, found, a->rule);
    for (int64_t at = count; at < k; at++) {
      e.ids[at] = -1;
      e.logp[at] = -INFINITY;
    }
    ((int32_t *)a->count.data)[i] = (int32_t)count;
  }
  k_merged_about(ctx, &m, &a->of, &a->about);
}
