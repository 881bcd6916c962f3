/** \file rope_real.c
 *  Rotary position embedding (Su et al. 2021), "rotate half" layout. */
#include "kernels/cpu/real.h"
#include "kernels/cpu/table_cpu.h"

K_KERNEL(k_rope_cpu_f32, k_rope_cpu_f64, k_rope_cpu_bf16)
{
  const k_rope_args *a = args;
  const int32_t *pos = a->pos.data;
  const int64_t hd = a->head_dim, half = hd / 2;
  const real sign = (real)a->direction;
  K_PARALLEL_FOR
  for (int64_t n = 0; n < a->x.rows; n++) {
    const real *cosine = k_row_of(&a->table, pos[n]), *sine = cosine + half;
    k_low *x = k_low_row(&a->x, n);
    for (int64_t h = 0; h < a->x.cols; h += hd)
#pragma omp simd
      for (int64_t i = 0; i < half; i++) {
        const real u = k_get(x[h + i]), v = k_get(x[h + half + i]);
        const real s = sign * sine[i];
        x[h + i] = k_put(u * cosine[i] - v * s);
        x[h + half + i] = k_put(v * cosine[i] + u * s);
      }
  }
}
