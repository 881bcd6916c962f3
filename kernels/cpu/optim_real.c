/** \file optim_real.c
 *  AdamW and sums of squares. */
#include "kernels/cpu/real.h"
#include "kernels/cpu/table_cpu.h"

/** Do \a n elements from \a at on lie in a flat view? */
static bool lies_in(const rt_view *flat, double at, double n)
{
  return at >= 0.0 && n >= 0.0 && at + n <= (double)flat->cols;
}

/** Refuse a table of which segment \a i does not lie in the views. */
static void refuse(k_ctx *ctx, int64_t i)
{
  ctx->err = RT_FAIL(RT_ERR_INTERNAL, "segment %lld is outside of the views",
                     (long long)i);
}

/** Coefficients of a step. */
typedef struct factors {
  real b1, b2, c1, c2;
  real rate, root, eps, scale;
} factors;

static factors factors_of(const k_adamw_args *a)
{
  const k_adamw_step *s = a->step.data;
  return (factors){.b1 = (real)a->beta1,
                   .b2 = (real)a->beta2,
                   .c1 = (real)(1.0 - a->beta1),
                   .c2 = (real)(1.0 - a->beta2),
                   .rate = (real)(s->lr / s->bias1),
                   .root = (real)(1.0 / sqrt(s->bias2)),
                   .eps = (real)a->eps,
                   .scale = (real)s->grad_scale};
}

static void update_segment(const k_adamw_args *a, const factors *f,
                           const k_segment *s)
{
  const k_adamw_step *step = a->step.data;
  const int64_t n = (int64_t)s->n;
  const real keep = (real)(1.0 - step->lr * s->weight_decay);
  const real b1 = f->b1, b2 = f->b2, c1 = f->c1, c2 = f->c2;
  const real rate = f->rate, root = f->root, eps = f->eps, scale = f->scale;
  real *p = (real *)a->p.data + (int64_t)s->p;
  real *m = (real *)a->m.data + (int64_t)s->m;
  real *v = (real *)a->v.data + (int64_t)s->m;
  const real *g = (const real *)a->g.data + (int64_t)s->g;
#pragma omp simd
  for (int64_t i = 0; i < n; i++) {
    const real grad = g[i] * scale;
    const real mi = b1 * m[i] + c1 * grad;
    const real vi = b2 * v[i] + c2 * grad * grad;
    m[i] = mi;
    v[i] = vi;
    p[i] = p[i] * keep - rate * mi / ((real)sqrt(vi) * root + eps);
  }
  if (a->w.data == NULL)
    return;
  k_low *w = (k_low *)a->w.data + (int64_t)s->w;
  for (int64_t i = 0; i < n; i++)
    w[i] = k_put(p[i]);
}

/** Elements are independent, so it does not matter who takes which segment. */
K_KERNEL(k_adamw_cpu_f32, k_adamw_cpu_f64, k_adamw_cpu_bf16)
{
  const k_adamw_args *a = args;
  const k_segment *s = a->segments.data;
  const factors f = factors_of(a);
  for (int64_t i = 0; i < a->segments.rows; i++)
    if (!lies_in(&a->p, s[i].p, s[i].n) || !lies_in(&a->m, s[i].m, s[i].n) ||
        !lies_in(&a->v, s[i].m, s[i].n) || !lies_in(&a->g, s[i].g, s[i].n) ||
        (a->w.data != NULL && !lies_in(&a->w, s[i].w, s[i].n))) {
      refuse(ctx, i);
      return;
    }
  if (((const k_adamw_step *)a->step.data)->skip != 0.0)
    return;
  K_PARALLEL_FOR_DYNAMIC
  for (int64_t i = 0; i < a->segments.rows; i++)
    update_segment(a, &f, &s[i]);
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

/** The sum depends on the segments, not on the number of threads. */
K_KERNEL(k_sumsq_cpu_f32, k_sumsq_cpu_f64, k_sumsq_cpu_bf16)
{
  const k_sumsq_args *a = args;
  const k_segment *s = a->segments.data;
  const int64_t n = a->segments.rows;
  double *partial = ctx->workspace;
  for (int64_t i = 0; i < n; i++)
    if (!lies_in(&a->x, s[i].g, s[i].n)) {
      refuse(ctx, i);
      return;
    }
  K_PARALLEL_FOR
  for (int64_t i = 0; i < n; i++)
    partial[i] = s[i].sum < 0.0
                     ? 0.0
                     : sum_squares((const real *)a->x.data + (int64_t)s[i].g,
                                   (int64_t)s[i].n);
  double all = 0.0, sum = 0.0;
  for (int64_t i = 0; i < n; i++) {
    if (i > 0 && s[i].sum != s[i - 1].sum) {
      all += sum;
      sum = 0.0;
    }
    sum += partial[i];
  }
  *(double *)a->out.data = all + sum;
}
