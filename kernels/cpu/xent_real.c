/** \file xent_real.c
 *  The fused loss over a tile of student logits, with sparse or dense targets.
 *
 *  dL/dz = a softmax(z) - c_label onehot(y) - c_kd t.  With sparse targets only
 *  K + 1 elements of a row differ from a softmax(z).  Exponentials are computed
 *  once: the first pass leaves exp(z - max) in the tile, and the second only
 *  scales it. */
#include "kernels/cpu/real.h"
#include "kernels/cpu/table_cpu.h"

/** Number of true (unpadded) columns of a tile whose first id is v0. */
static int64_t true_cols(int64_t cols, int64_t v0, int64_t v_true)
{
  const int64_t n = v_true - v0;
  return n < 0 ? 0 : n < cols ? n : cols;
}

/** z = exp(z - top).  Return the sum, accumulated in double over short chunks:
 *  V is about 10^5, and a float would lose the small terms. */
static double exp_row(real *z, int64_t n, real top)
{
  enum { CHUNK = 512 };
  const real base = k_base(top);
  double sum = 0.0;
  for (int64_t v0 = 0; v0 < n; v0 += CHUNK) {
    const int64_t v1 = v0 + CHUNK < n ? v0 + CHUNK : n;
    real part = 0;
#pragma omp simd reduction(+ : part)
    for (int64_t v = v0; v < v1; v++) {
      z[v] = k_exp(z[v] - base);
      part += z[v];
    }
    sum += (double)part;
  }
  return sum;
}

/** z of an id if this tile contains it, else 0. */
static double logit_of(const real *z, int64_t n, int64_t id)
{
  return id >= 0 && id < n ? (double)z[id] : 0.0;
}

static int32_t entries_of(const rt_view *count, int64_t r)
{
  return count->data != NULL ? ((const int32_t *)count->data)[r] : 0;
}

/** t z, where nothing of a target counts for nothing: z may be -inf. */
static double part_of(real t, double z)
{
  return t == 0 ? 0.0 : (double)t * z;
}

/** sum_i t_i z[id_i] over the entries of row \a r in this tile. */
static double dot_of(const k_xent_stats_args *a, const real *z, int64_t n,
                     int64_t r)
{
  const int32_t count = entries_of(&a->count, r);
  if (count == 0)
    return 0.0;
  const int32_t *const ids = (const int32_t *)a->ids.data + r * a->ids.ld;
  const real *const t = k_row_of(&a->t, r);
  double dot[8] = {0.0}; // independent sums
  int32_t i = 0;
  for (; i + 8 <= count; i += 8) {
#pragma omp simd
    for (int k = 0; k < 8; k++)
      dot[k] += part_of(t[i + k], logit_of(z, n, ids[i + k] - a->v0));
  }
  for (int k = 0; i < count; i++, k++)
    dot[k] += part_of(t[i], logit_of(z, n, ids[i] - a->v0));
  return ((dot[0] + dot[1]) + (dot[2] + dot[3])) +
         ((dot[4] + dot[5]) + (dot[6] + dot[7]));
}

K_KERNEL(k_xent_stats_cpu_f32, k_xent_stats_cpu_f64, k_xent_stats_cpu_bf16)
{
  const k_xent_stats_args *a = args;
  const int64_t n = true_cols(a->z.cols, a->v0, a->v_true);
  const int32_t *label = a->label.data;
  K_PARALLEL_FOR
  for (int64_t r = 0; r < a->z.rows; r++) {
    real *z = k_row_of(&a->z, r);
    double *s = (double *)a->stats.data + r * a->stats.ld;
    const real top = k_max(z, n);
    s[K_STAT_MAX] = (double)top;
    s[K_STAT_LABEL] = logit_of(z, n, label[r] - a->v0);
    s[K_STAT_DOT] = dot_of(a, z, n, r);
    s[K_STAT_T_MAX] = s[K_STAT_T_SUM] = s[K_STAT_IDS] = 0.0;
    s[K_STAT_SUM] = exp_row(z, n, top);
    for (int64_t v = n; v < a->z.cols; v++)
      z[v] = 0;
  }
}

static const k_coef *coef_of(const rt_view *coef, int64_t r)
{
  return (const k_coef *)((const double *)coef->data + r * coef->ld);
}

/** The factor that turns the exponentials of this tile into the softmax. */
static double to_softmax(const rt_view *stats, int64_t r, int col_max,
                         double lse)
{
  return exp(((const double *)stats->data)[r * stats->ld + col_max] - lse);
}

/** One row of a sparse gradient. */
typedef struct grad_row {
  real *z;
  k_low *dz;
  int64_t cols;
  real factor; // softmax coefficient over z
} grad_row;

/** Below this factor the softmax of the tile is 0 to any rounding. */
static const real least_factor = (real)1e-30;

/** The label and the entries of row \a r as (id, part of the gradient). */
typedef struct targets {
  const int32_t *ids; // borrowed [n]
  const real *t;      // borrowed [n]
  int64_t v0;         // first id of the tile
  int32_t n, label;
} targets;

static targets targets_of(const k_xent_grad_args *a, int64_t r)
{
  const int32_t n = entries_of(&a->count, r);
  return (targets){.ids = n > 0 ? (const int32_t *)a->ids.data + r * a->ids.ld
                                : NULL,
                   .t = n > 0 ? k_row_of(&a->t, r) : NULL,
                   .v0 = a->v0,
                   .n = n,
                   .label = ((const int32_t *)a->label.data)[r]};
}

/** z -= (c_label onehot(y) + c_kd t) / factor, where the tile has the ids. */
static void subtract_from_z(const grad_row *row, const targets *of,
                            const k_coef *c)
{
  real *const z = row->z;
  const int32_t *const ids = of->ids;
  const real *const t = of->t;
  const int64_t v0 = of->v0, cols = row->cols, n = of->n;
  const double c_kd = c->c_kd / (double)row->factor;
  const int64_t y = of->label - v0;
  if (y >= 0 && y < cols)
    z[y] -= (real)(c->c_label / (double)row->factor);
  for (int64_t i = 0; i < n; i++) {
    const int64_t id = ids[i] - v0;
    if (id >= 0 && id < cols)
      z[id] -= (real)(c_kd * (double)t[i]);
  }
}

/** dz -= value at an id, where the tile has it. */
static void subtract(const grad_row *row, int64_t id, double value)
{
  if (id >= 0 && id < row->cols)
    row->dz[id] = k_put(k_get(row->dz[id]) - (real)value);
}

/** The same from dz = factor z. */
static void subtract_from_dz(const grad_row *row, const targets *of,
                             const k_coef *c)
{
  subtract(row, of->label - of->v0, c->c_label);
  for (int64_t i = 0; i < of->n; i++)
    subtract(row, of->ids[i] - of->v0, c->c_kd * (double)of->t[i]);
}

K_KERNEL(k_xent_grad_cpu_f32, k_xent_grad_cpu_f64, k_xent_grad_cpu_bf16)
{
  const k_xent_grad_args *a = args;
  const int64_t cols = a->z.cols;
  K_PARALLEL_FOR
  for (int64_t r = 0; r < a->z.rows; r++) {
    const k_coef *c = coef_of(&a->coef, r);
    const real factor =
        (real)(to_softmax(&a->stats, r, K_STAT_MAX, c->lse) * c->a);
    real *z = k_row_of(&a->z, r);
    k_low *dz = k_low_row(&a->dz, r);
    const grad_row row = {z, dz, cols, factor};
    const targets of = targets_of(a, r);
    // before dz is rounded, so that what remains of a softmax close to its
    // target keeps its digits; otherwise after the pass that brings the row
    // near
    const bool before = sizeof *dz < sizeof *z && factor >= least_factor;
    if (before)
      subtract_from_z(&row, &of, c);
#pragma omp simd // each element is read before its place is written
    for (int64_t v = 0; v < cols; v++)
      dz[v] = k_put(z[v] * factor);
    if (!before)
      subtract_from_dz(&row, &of, c);
  }
}

/** Return sum exp(z_t - top) (own z_t - z_s), set \a sum to sum exp(z_t - top),
 *  and replace z_t by exp(z_t - top).  Where that is 0, both logits may be
 *  -inf and the product is 0; a NaN of z_t shows in \a sum. */
static double exp_row_dot(real *z_t, const real *z_s, int64_t n, real top,
                          real own, double *sum)
{
  enum { CHUNK = 512 };
  const real base = k_base(top);
  double dot = 0.0;
  *sum = 0.0;
  for (int64_t v0 = 0; v0 < n; v0 += CHUNK) {
    const int64_t v1 = v0 + CHUNK < n ? v0 + CHUNK : n;
    real part = 0, part_dot = 0;
#pragma omp simd reduction(+ : part, part_dot)
    for (int64_t v = v0; v < v1; v++) {
      const real t = z_t[v], e = k_exp(t - base);
      part += e;
      part_dot += e > 0 ? e * (own * t - z_s[v]) : 0;
      z_t[v] = e;
    }
    *sum += (double)part;
    dot += (double)part_dot;
  }
  return dot;
}

K_KERNEL(k_dense_stats_cpu_f32, k_dense_stats_cpu_f64, k_dense_stats_cpu_bf16)
{
  const k_dense_stats_args *a = args;
  const int64_t n = true_cols(a->z_s.cols, a->v0, a->v_true);
  const int32_t *label = a->label.data;
  const real inverse_tau = (real)(1.0 / a->tau);
  K_PARALLEL_FOR
  for (int64_t r = 0; r < a->z_s.rows; r++) {
    real *z_s = k_row_of(&a->z_s, r), *z_t = k_row_of(&a->z_t, r);
    double *s = (double *)a->stats.data + r * a->stats.ld;
    for (int64_t v = 0; v < n; v++)
      z_t[v] *= inverse_tau;
    const real t_top = k_max(z_t, n), top = k_max(z_s, n);
    s[K_STAT_LABEL] = logit_of(z_s, n, label[r] - a->v0);
    s[K_STAT_DOT] =
        exp_row_dot(z_t, z_s, n, t_top, a->kl ? 1 : 0, &s[K_STAT_T_SUM]);
    s[K_STAT_T_MAX] = (double)t_top;
    s[K_STAT_MAX] = (double)top;
    s[K_STAT_SUM] = exp_row(z_s, n, top);
    s[K_STAT_IDS] = 0.0;
    for (int64_t v = n; v < a->z_s.cols; v++)
      z_s[v] = z_t[v] = 0;
  }
}

K_KERNEL(k_dense_grad_cpu_f32, k_dense_grad_cpu_f64, k_dense_grad_cpu_bf16)
{
  const k_dense_grad_args *a = args;
  const int32_t *label = a->label.data;
  K_PARALLEL_FOR
  for (int64_t r = 0; r < a->z_s.rows; r++) {
    const real *z_s = k_row_of(&a->z_s, r), *z_t = k_row_of(&a->z_t, r);
    k_low *dz = k_low_row(&a->dz, r);
    const k_coef *c = coef_of(&a->coef, r);
    const int64_t id = label[r] - a->v0;
    const bool here = id >= 0 && id < a->z_s.cols;
    const real f_s =
                   (real)(to_softmax(&a->stats, r, K_STAT_MAX, c->lse) * c->a),
               f_t = (real)(c->c_kd *
                            to_softmax(&a->stats, r, K_STAT_T_MAX, c->t_lse));
    const real of_label =
        here ? z_s[id] * f_s - z_t[id] * f_t - (real)c->c_label : 0;
#pragma omp simd
    for (int64_t v = 0; v < a->z_s.cols; v++)
      dz[v] = k_put(z_s[v] * f_s - z_t[v] * f_t);
    if (here) // rounded once
      dz[id] = k_put(of_label);
  }
}
