/** \file merge.c
 *  Statistics of all shards to what is known of each token. */
#include "kernels/cpu/merge.h"
#include "kernels/cpu/parallel.h"

#include <math.h>

rt_shards k_merged_shards(const k_merged *m, int64_t i)
{
  return (rt_shards){(const double *)m->stats->data + i * K_N_STAT,
                     m->stats->ld, (int)m->stats->rows};
}

double k_merged_lse(const k_merged *m, int64_t i)
{
  const rt_shards s = k_merged_shards(m, i);
  return rt_exp_sum_log(rt_shards_exp_sum(&s, K_STAT_MAX, K_STAT_SUM));
}

bool k_merged_fit(k_ctx *ctx, const k_merged *m, const rt_view *all,
                  int64_t each)
{
  const bool fits = m->stats->rows > 0 && m->stats->cols == m->n * K_N_STAT &&
                    (all == NULL || all->cols == m->n * each);
  if (!fits)
    ctx->err = RT_FAIL(RT_ERR_INTERNAL,
                       "%lld statistics and %lld results of %lld shards for "
                       "%lld tokens",
                       (long long)m->stats->cols,
                       (long long)(all != NULL ? all->cols : 0),
                       (long long)m->stats->rows, (long long)m->n);
  return fits;
}

static k_about about_token(const k_merged *m, const k_logits *of, int64_t i)
{
  const rt_shards s = k_merged_shards(m, i);
  k_about a = {.lse = k_merged_lse(m, i)};
  a.label_logp = rt_shards_sum(&s, K_STAT_LABEL) - a.lse;
  if (of->spread)
    rt_shards_spread(&s, &a.entropy, &a.deviation);
  return a;
}

/** The first token whose log-sum-exp is not finite in f32. */
static int64_t first_bad(const k_merged *m)
{
  int64_t i = 0;
  while (i < m->n && isfinite((float)k_merged_lse(m, i)))
    i++;
  return i;
}

void k_merged_about(k_ctx *ctx, const k_merged *m, const k_logits *of,
                    const rt_view *about)
{
  k_about *const all = about->data;
  if (all != NULL) {
    K_PARALLEL_FOR
    for (int64_t i = 0; i < m->n; i++)
      all[i] = about_token(m, of, i);
  }
  const int64_t bad = of->finite ? first_bad(m) : m->n;
  if (bad < m->n)
    ctx->err = RT_FAIL(
        RT_ERR_DATA,
        "the teacher's logits of row %lld, token %lld are not finite: its "
        "weights are damaged, or its activations overflow their type",
        (long long)of->row, (long long)(of->tok0 + bad));
}
