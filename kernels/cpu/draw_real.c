/** \file draw_real.c
 *  Draws from the softmax of each row by inverting its cumulative sum. */
#include "kernels/cpu/real.h"
#include "kernels/cpu/table_cpu.h"

enum { BLOCK = 256 };

/** Sum of exp(z - top) over z[0..n). */
static double block_sum(const real *z, int64_t n, real top)
{
  real part = 0;
#pragma omp simd reduction(+ : part)
  for (int64_t v = 0; v < n; v++)
    part += k_exp(z[v] - top);
  return (double)part;
}

/** n without the elements at the end of z[0..n) that have no probability: no
 *  draw that rounding leaves over may fall on them. */
static int64_t possible(const real *z, int64_t n, real top)
{
  while (n > 0 && k_exp(z[n - 1] - k_base(top)) == 0)
    n--;
  return n;
}

/** The first element of z[0..n) at which the cumulative sum, starting from \a
 *  sum, exceeds \a u.  If rounding prevents that, the last element with a
 *  nonzero probability. */
static int64_t find_crossing(const real *z, int64_t n, real top, double sum,
                             double u)
{
  int64_t last = 0;
  for (int64_t v = 0; v < n; v++) {
    const double p = (double)k_exp(z[v] - top);
    last = p > 0.0 ? v : last;
    sum += p;
    if (u < sum)
      return v;
  }
  return last;
}

K_KERNEL(k_draw_cpu_f32, k_draw_cpu_f64, k_draw_cpu_bf16)
{
  const k_draw_args *a = args;
  const int64_t left = a->v_true - a->v0, N = a->ids.cols;
  const int64_t n_true = left < 0 ? 0 : left < a->z.cols ? left : a->z.cols;
  K_PARALLEL_FOR
  for (int64_t r = 0; r < a->z.rows; r++) {
    const real *const z = k_row_of(&a->z, r);
    const double *const u = (const double *)a->u.data + r * a->u.ld;
    const double *const s = (const double *)a->stats.data + r * a->stats.ld;
    int32_t *const ids = (int32_t *)a->ids.data + r * a->ids.ld;
    const real top = (real)s[K_STAT_MAX];
    const int64_t n = possible(z, n_true, top);
    double sum = 0.0;
    int64_t d = 0;
    for (; d < N && n == 0; d++)
      ids[d] = -1;
    for (int64_t v = 0; v < n && d < N; v += BLOCK) {
      const int64_t size = n - v < BLOCK ? n - v : BLOCK;
      const double next = sum + block_sum(z + v, size, top);
      for (; d < N && (u[d] < next || v + size == n); d++)
        ids[d] = u[d] < 0.0
                     ? -1
                     : (int32_t)(a->v0 + v +
                                 find_crossing(z + v, size, top, sum, u[d]));
      sum = next;
    }
  }
}
