/** \file loss_coef.c
 *  Statistics of all shards to coefficients and losses. */
#include "kernels/cpu/parallel.h"
#include "kernels/cpu/table_cpu.h"
#include "kernels/shards.h"

#include <math.h>

/** The coefficients of token \a i; \return what it adds to the loss. */
static k_loss weigh(const k_loss_coef_args *a, int64_t i, k_coef *coef)
{
  const int64_t n = a->weight.rows;
  const double *const entropy = a->entropy.data;
  const rt_shards s = {(const double *)a->stats.data + i * K_N_STAT,
                       n * K_N_STAT, (int)(a->stats.rows / n)};
  const int32_t count =
      a->count.data != NULL ? ((const int32_t *)a->count.data)[i] : 0;
  const bool has_kd = a->dense || count > 0;
  const double w = ((const double *)a->weight.data)[i];
  const double c_kd = has_kd ? w * a->alpha : 0.0;
  const double c_label = w * (1.0 - a->alpha);
  const double lse =
      rt_exp_sum_log(rt_shards_exp_sum(&s, K_STAT_MAX, K_STAT_SUM));
  *coef = (k_coef){
      .lse = lse, .a = c_label + c_kd, .c_label = c_label, .c_kd = c_kd};
  double kd;
  if (a->dense) { // KL = sum p_t (z_t/tau - lse_t - z_s + lse_s)
    const rt_exp_sum t = rt_shards_exp_sum(&s, K_STAT_T_MAX, K_STAT_T_SUM);
    coef->t_lse = rt_exp_sum_log(t);
    kd = rt_shards_scaled(&s, K_STAT_DOT, K_STAT_T_MAX, t.max) / t.sum + lse -
         (a->kl ? coef->t_lse : 0.0);
  } else {
    kd = lse - rt_shards_sum(&s, K_STAT_DOT) -
         (entropy != NULL ? entropy[i] : 0.0);
  }
  return (k_loss){.lm = w * (lse - rt_shards_sum(&s, K_STAT_LABEL)),
                  .kd = has_kd ? w * kd : 0.0,
                  .entries = w * count};
}

void k_loss_coef_cpu(k_ctx *ctx, const void *args)
{
  const k_loss_coef_args *a = args;
  const int64_t n = a->weight.rows;
  k_loss *const each = ctx->workspace, *const sum = a->loss.data;
  if (n > 0 && a->stats.rows % n != 0) {
    ctx->err = RT_FAIL(RT_ERR_INTERNAL, "%lld statistics of %lld tokens",
                       (long long)a->stats.rows, (long long)n);
    return;
  }
  K_PARALLEL_FOR
  for (int64_t i = 0; i < n; i++)
    each[i] = weigh(a, i, (k_coef *)a->coef.data + i);
  for (int64_t i = 0; i < n; i++) {
    sum->lm += each[i].lm;
    sum->kd += each[i].kd;
    sum->entries += each[i].entries;
  }
}
