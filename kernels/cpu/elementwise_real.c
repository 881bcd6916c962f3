/** \file elementwise_real.c
 *  Kernels add, scale, bias_fwd, bias_bwd. */
#include "kernels/cpu/real.h"
#include "kernels/cpu/table_cpu.h"

K_KERNEL(k_add_cpu_f32, k_add_cpu_f64, k_add_cpu_bf16)
{
  const k_add_args *a = args;
  K_PARALLEL_FOR
  for (int64_t r = 0; r < a->y.rows; r++) {
    const k_low *x = k_low_row(&a->x, r);
    k_low *y = k_low_row(&a->y, r);
    for (int64_t c = 0; c < a->y.cols; c++)
      y[c] = k_put(k_get(y[c]) + k_get(x[c]));
  }
}

K_KERNEL(k_scale_cpu_f32, k_scale_cpu_f64, k_scale_cpu_bf16)
{
  const k_scale_args *a = args;
  K_PARALLEL_FOR
  for (int64_t r = 0; r < a->y.rows; r++) {
    k_low *y = k_low_row(&a->y, r);
    for (int64_t c = 0; c < a->y.cols; c++)
      y[c] = k_put(k_get(y[c]) * (real)a->value);
  }
}

K_KERNEL(k_bias_fwd_cpu_f32, k_bias_fwd_cpu_f64, k_bias_fwd_cpu_bf16)
{
  const k_bias_fwd_args *a = args;
  const k_low *bias = a->bias.data;
  K_PARALLEL_FOR
  for (int64_t r = 0; r < a->y.rows; r++) {
    k_low *y = k_low_row(&a->y, r);
    for (int64_t c = 0; c < a->y.cols; c++)
      y[c] = k_put(k_get(y[c]) + k_get(bias[c]));
  }
}

/** Threads divide the columns; each column is summed in order of rows. */
K_KERNEL(k_bias_bwd_cpu_f32, k_bias_bwd_cpu_f64, k_bias_bwd_cpu_bf16)
{
  const k_bias_bwd_args *a = args;
  enum { BLOCK = 64 };
  real *dbias = a->dbias.data;
  const int64_t n = (a->dy.cols + BLOCK - 1) / BLOCK;
  K_PARALLEL_FOR
  for (int64_t i = 0; i < n; i++) {
    const int64_t c0 = i * BLOCK;
    const int64_t c1 = c0 + BLOCK < a->dy.cols ? c0 + BLOCK : a->dy.cols;
    for (int64_t r = 0; r < a->dy.rows; r++) {
      const k_low *dy = k_low_row(&a->dy, r);
      for (int64_t c = c0; c < c1; c++)
        dbias[c] += k_get(dy[c]);
    }
  }
}
