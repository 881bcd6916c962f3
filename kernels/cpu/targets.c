/** \file targets.c
 *  Entries of tokens to targets. */
#include "kernels/cpu/parallel.h"
#include "kernels/cpu/table_cpu.h"
#include "kernels/truncate.h"

#include <omp.h>

/** Store t[0..n), and 0 behind it, as row \a i of \a v. */
static void store(const rt_view *v, int64_t i, const double *t, int64_t n)
{
  const int64_t at = i * v->ld;
  if (v->dtype == RT_F64)
    for (int64_t k = 0; k < v->cols; k++)
      ((double *)v->data + at)[k] = k < n ? t[k] : 0.0;
  else
    for (int64_t k = 0; k < v->cols; k++)
      ((float *)v->data + at)[k] = k < n ? (float)t[k] : 0.0F;
}

void k_targets_cpu(k_ctx *ctx, const void *args)
{
  const k_targets_args *a = args;
  const int64_t k = a->t.cols;
  K_PARALLEL_FOR
  for (int64_t i = 0; i < a->t.rows; i++) {
    double *const t = (double *)ctx->workspace + omp_get_thread_num() * k;
    const int64_t count = ((const int32_t *)a->count.data)[i];
    ((double *)a->entropy.data)[i] = rt_truncate_target(
        (const float *)a->logp.data + i * a->logp.ld, count, a->tau, t);
    store(&a->t, i, t, count);
  }
}
