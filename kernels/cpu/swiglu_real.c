/** \file swiglu_real.c
 *  y = silu(gate) up (Shazeer 2020), silu(x) = x / (1 + e^-x). */
#include "kernels/cpu/real.h"
#include "kernels/cpu/table_cpu.h"

/** 1 / (1 + e^-x), computed from e^-|x|, which cannot overflow. */
static inline real sigmoid(real x)
{
  const real e = k_exp(x < 0 ? x : -x);
  return (x < 0 ? e : 1) / (1 + e);
}

K_KERNEL(k_swiglu_fwd_cpu_f32, k_swiglu_fwd_cpu_f64, k_swiglu_fwd_cpu_bf16)
{
  const k_swiglu_fwd_args *a = args;
  K_PARALLEL_FOR
  for (int64_t n = 0; n < a->y.rows; n++) {
    const k_low *gate = k_low_row(&a->gate, n), *up = k_low_row(&a->up, n);
    k_low *y = k_low_row(&a->y, n);
#pragma omp simd
    for (int64_t i = 0; i < a->y.cols; i++) {
      const real x = k_get(gate[i]);
      y[i] = k_put(x * sigmoid(x) * k_get(up[i]));
    }
  }
}

/** d silu = s (1 + x (1 - s)), s = sigmoid(x). */
K_KERNEL(k_swiglu_bwd_cpu_f32, k_swiglu_bwd_cpu_f64, k_swiglu_bwd_cpu_bf16)
{
  const k_swiglu_bwd_args *a = args;
  K_PARALLEL_FOR
  for (int64_t n = 0; n < a->dy.rows; n++) {
    const k_low *gate = k_low_row(&a->gate, n), *up = k_low_row(&a->up, n);
    const k_low *dy = k_low_row(&a->dy, n);
    k_low *d_gate = k_low_row(&a->d_gate, n), *d_up = k_low_row(&a->d_up, n);
#pragma omp simd
    for (int64_t i = 0; i < a->dy.cols; i++) {
      const real x = k_get(gate[i]), u = k_get(up[i]), d = k_get(dy[i]);
      const real s = sigmoid(x);
      d_gate[i] = k_put(d * u * s * (1 + x * (1 - s)));
      d_up[i] = k_put(d * x * s);
    }
  }
}
