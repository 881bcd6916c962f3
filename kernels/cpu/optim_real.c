/** \file optim_real.c
 *  AdamW and sums of squares. */
#include "kernels/cpu/real.h"
#include "kernels/cpu/table_cpu.h"

K_KERNEL(k_adamw_cpu_f32, k_adamw_cpu_f64, k_adamw_cpu_bf16)
{
  const k_adamw_args *a = args;
  const k_adamw_step *s = a->step.data;
  if (s->skip != 0.0)
    return;
  const real b1 = (real)a->beta1, b2 = (real)a->beta2;
  const real c1 = (real)(1.0 - a->beta1), c2 = (real)(1.0 - a->beta2);
  const real keep = (real)(1.0 - s->lr * a->weight_decay);
  const real rate = (real)(s->lr / s->bias1);
  const real root = (real)(1.0 / sqrt(s->bias2)), eps = (real)a->eps;
  const real scale = (real)s->grad_scale;
  K_PARALLEL_FOR
  for (int64_t r = 0; r < a->p.rows; r++) {
    real *p = k_row_of(&a->p, r);
    real *m = k_row_of(&a->m, r), *v = k_row_of(&a->v, r);
    const real *g = k_row_of(&a->g, r);
    k_low *w = a->w.data != NULL ? k_low_row(&a->w, r) : NULL;
#pragma omp simd
    for (int64_t i = 0; i < a->p.cols; i++) {
      const real grad = g[i] * scale;
      const real mi = b1 * m[i] + c1 * grad;
      const real vi = b2 * v[i] + c2 * grad * grad;
      m[i] = mi;
      v[i] = vi;
      p[i] = p[i] * keep - rate * mi / ((real)sqrt(vi) * root + eps);
    }
    for (int64_t i = 0; w != NULL && i < a->p.cols; i++)
      w[i] = k_put(p[i]);
  }
}

/** Sum of squares of x[0..n) in double. */
static double sum_squares(const real *x, int64_t n)
{
  double sum = 0.0;
#pragma omp simd reduction(+ : sum)
  for (int64_t i = 0; i < n; i++)
    sum += (double)x[i] * (double)x[i];
  return sum;
}

/** The chunks depend on the size only, so the sum does not depend on the number
 *  of threads. */
K_KERNEL(k_sumsq_cpu_f32, k_sumsq_cpu_f64, k_sumsq_cpu_bf16)
{
  const k_sumsq_args *a = args;
  enum { MAX_CHUNKS = 16384, MIN_CHUNK = 1 << 16 };
  _Static_assert(MAX_CHUNKS * sizeof(double) <= K_THREAD_BYTES,
                 "partial sums must fit the workspace of one thread");
  const int64_t size = a->x.rows * a->x.cols;
  int64_t chunk = (size + MAX_CHUNKS - 1) / MAX_CHUNKS;
  chunk = chunk < MIN_CHUNK ? MIN_CHUNK : chunk;
  const int64_t n = (size + chunk - 1) / chunk;
  double *partial = ctx->workspace;
  if (a->x.ld != a->x.cols && a->x.rows > 1) {
    ctx->err = RT_FAIL(RT_ERR_INTERNAL, "sumsq: the view must be contiguous");
    return;
  }
  K_PARALLEL_FOR
  for (int64_t i = 0; i < n; i++) {
    const int64_t left = size - i * chunk;
    partial[i] = sum_squares((const real *)a->x.data + i * chunk,
                             left < chunk ? left : chunk);
  }
  double sum = 0.0;
  for (int64_t i = 0; i < n; i++)
    sum += partial[i];
  *(double *)a->out.data = sum;
}
