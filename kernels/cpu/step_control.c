/** \file step_control.c
 *  Decides what becomes of a step. */
#include "kernels/cpu/table_cpu.h"

#include <math.h>

static k_told tell(const k_step_control_args *a)
{
  const k_loss *l = a->loss.data;
  const double *squares = a->squares.data;
  double sum = 0.0;
  for (int64_t r = 0; r < a->squares.rows; r++)
    sum += squares[r];
  return (k_told){.loss = (1.0 - a->alpha) * l->lm + a->alpha * l->kd,
                  .lm = l->lm,
                  .kd = l->kd,
                  .entries = l->entries,
                  .grad_norm = sqrt(sum)};
}

/** NaN, Inf, or a norm far above its running mean. */
static bool looks_bad(const k_step_control_args *a, const k_told *t)
{
  const k_control *c = a->control.data;
  if (!isfinite(t->loss) || !isfinite(t->grad_norm))
    return true;
  return a->spike > 0.0 && c->norm_mean > 0.0 &&
         t->grad_norm > a->spike * c->norm_mean;
}

static void count_update(k_control *c, double norm)
{
  c->n_updates++;
  c->norm_mean = c->norm_mean > 0.0 ? 0.98 * c->norm_mean + 0.02 * norm : norm;
}

void k_step_control_cpu(k_ctx *ctx, const void *args)
{
  const k_step_control_args *a = args;
  k_control *c = a->control.data;
  k_told *told = a->told.data;
  if (a->told.cols < K_N_TOLD) {
    ctx->err = RT_FAIL(RT_ERR_INTERNAL, "no room to tell of a step");
    return;
  }
  *told = tell(a);
  const double norm = told->grad_norm;
  const bool bad = c->stopped != 0.0 || looks_bad(a, told);
  told->bad = bad;
  if (bad) {
    c->n_skipped++;
    c->stopped = c->stopped != 0.0 || a->stop;
  } else {
    count_update(c, norm);
  }
  told->control = *c;
  *(k_adamw_step *)a->step.data = (k_adamw_step){
      .lr = a->lr,
      .grad_scale = a->clip > 0.0 && norm > a->clip ? a->clip / norm : 1.0,
      .bias1 = 1.0 - pow(a->beta1, c->n_updates),
      .bias2 = 1.0 - pow(a->beta2, c->n_updates),
      .skip = bad};
}
