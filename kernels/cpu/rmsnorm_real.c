/** \file rmsnorm_real.c
 *  RMSNorm (Zhang & Sennrich 2019), forward and backward:
 *     y = x r w, r = (mean x^2 + eps)^-1/2
 *     dx = r (w dy) - x r^3 / D sum(w dy x),  dw = sum over rows of dy x r. */
#include "kernels/cpu/real.h"
#include "kernels/cpu/table_cpu.h"

K_KERNEL(k_rmsnorm_fwd_cpu_f32, k_rmsnorm_fwd_cpu_f64, k_rmsnorm_fwd_cpu_bf16)
{
  const k_rmsnorm_fwd_args *a = args;
  const k_low *w = a->w.data;
  real *rstd = a->rstd.data;
  const int64_t d = a->x.cols;
  K_PARALLEL_FOR
  for (int64_t n = 0; n < a->x.rows; n++) {
    const k_low *x = k_low_row(&a->x, n);
    k_low *y = k_low_row(&a->y, n);
    real sum = 0;
#pragma omp simd reduction(+ : sum)
    for (int64_t i = 0; i < d; i++)
      sum += k_get(x[i]) * k_get(x[i]);
    const real r = (real)(1.0 / sqrt((double)sum / (double)d + a->eps));
    rstd[n] = r;
    for (int64_t i = 0; i < d; i++)
      y[i] = k_put(k_get(x[i]) * r * k_get(w[i]));
  }
}

static void backward_x(k_ctx *ctx, const k_rmsnorm_bwd_args *a)
{
  const k_low *w = a->w.data;
  const real *rstd = a->rstd.data;
  const int64_t d = a->x.cols;
  K_PARALLEL_FOR
  for (int64_t n = 0; n < a->x.rows; n++) {
    const k_low *x = k_low_row(&a->x, n), *dy = k_low_row(&a->dy, n);
    k_low *dx = k_low_row(&a->dx, n);
    real dot = 0;
#pragma omp simd reduction(+ : dot)
    for (int64_t i = 0; i < d; i++)
      dot += k_get(w[i]) * k_get(dy[i]) * k_get(x[i]);
    const real r = rstd[n], c = dot * r * r * r / (real)d;
    for (int64_t i = 0; i < d; i++)
      dx[i] = k_put(k_get(dx[i]) +
                    (r * k_get(w[i]) * k_get(dy[i]) - c * k_get(x[i])));
  }
}

K_KERNEL(k_rmsnorm_bwd_cpu_f32, k_rmsnorm_bwd_cpu_f64, k_rmsnorm_bwd_cpu_bf16)
{
  const k_rmsnorm_bwd_args *a = args;
  enum { BLOCK = 64 };
  const real *rstd = a->rstd.data;
  real *dw = a->dw.data;
  backward_x(ctx, a);
  const int64_t n_blocks = (a->x.cols + BLOCK - 1) / BLOCK;
  K_PARALLEL_FOR
  for (int64_t i = 0; i < n_blocks;
       i++) { // each column is summed in order of rows
    const int64_t c0 = i * BLOCK;
    const int64_t c1 = c0 + BLOCK < a->x.cols ? c0 + BLOCK : a->x.cols;
    real sum[BLOCK] = {0};
    for (int64_t n = 0; n < a->x.rows; n++) {
      const k_low *x = k_low_row(&a->x, n), *dy = k_low_row(&a->dy, n);
      for (int64_t c = c0; c < c1; c++)
        sum[c - c0] += k_get(dy[c]) * k_get(x[c]) * rstd[n];
    }
    for (int64_t c = c0; c < c1; c++)
      dw[c] += sum[c - c0];
  }
}
