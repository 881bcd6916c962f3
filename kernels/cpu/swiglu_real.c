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

K_KERNEL(k_swiglu_fwd_cpu_f32, k_swiglu_fwd_cpu_f64)
{
  const k_swiglu_fwd_args *a = args;
  K_PARALLEL_FOR
  for (int64_t n = 0; n < a->y.rows; n++) {
    const real *gate = k_row_of(&a->gate, n), *up = k_row_of(&a->up, n);
    real *y = k_row_of(&a->y, n);
#pragma omp simd
    for (int64_t i = 0; i < a->y.cols; i++)
      y[i] = gate[i] * sigmoid(gate[i]) * up[i];
  }
}

/** d silu = s (1 + x (1 - s)), s = sigmoid(x). */
K_KERNEL(k_swiglu_bwd_cpu_f32, k_swiglu_bwd_cpu_f64)
{
  const k_swiglu_bwd_args *a = args;
  K_PARALLEL_FOR
  for (int64_t n = 0; n < a->dy.rows; n++) {
    const real *gate = k_row_of(&a->gate, n), *up = k_row_of(&a->up, n);
    const real *dy = k_row_of(&a->dy, n);
    real *d_gate = k_row_of(&a->d_gate, n), *d_up = k_row_of(&a->d_up, n);
#pragma omp simd
    for (int64_t i = 0; i < a->dy.cols; i++) {
      const real x = gate[i], u = up[i], d = dy[i];
      const real s = sigmoid(x);
      d_gate[i] = d * u * s * (1 + x * (1 - s));
      d_up[i] = d * x * s;
    }
  }
}
