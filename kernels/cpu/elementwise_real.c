/** \file elementwise_real.c
 *  Kernels copy, fill, add, scale, bias_fwd, bias_bwd. */
#include "kernels/cpu/real.h"
#include "kernels/cpu/table_cpu.h"

K_KERNEL(k_copy_cpu_f32, k_copy_cpu_f64)
{
  const k_copy_args *a = args;
  K_PARALLEL_FOR
  for (int64_t r = 0; r < a->y.rows; r++)
    memcpy(k_row_of(&a->y, r), k_row_of(&a->x, r),
           (size_t)a->y.cols * sizeof(real));
}

/** Number of pieces into which each row is split, and their width in columns.
 *  Splitting lets flat buffers (one long row) use all threads. */
static int64_t pieces(const rt_view *v, int64_t *cols)
{
  const int64_t max_cols = 1 << 16;
  *cols = v->cols < max_cols ? v->cols : max_cols;
  return *cols > 0 ? (v->cols + *cols - 1) / *cols : 0;
}

K_KERNEL(k_fill_cpu_f32, k_fill_cpu_f64)
{
  const k_fill_args *a = args;
  int64_t cols;
  const int64_t n = pieces(&a->y, &cols);
  K_PARALLEL_FOR
  for (int64_t i = 0; i < a->y.rows * n; i++) {
    const int64_t c0 = i % n * cols;
    const int64_t c1 = c0 + cols < a->y.cols ? c0 + cols : a->y.cols;
    real *y = k_row_of(&a->y, i / n);
    for (int64_t c = c0; c < c1; c++)
      y[c] = (real)a->value;
  }
}

K_KERNEL(k_add_cpu_f32, k_add_cpu_f64)
{
  const k_add_args *a = args;
  K_PARALLEL_FOR
  for (int64_t r = 0; r < a->y.rows; r++) {
    const real *x = k_row_of(&a->x, r);
    real *y = k_row_of(&a->y, r);
    for (int64_t c = 0; c < a->y.cols; c++)
      y[c] += x[c];
  }
}

K_KERNEL(k_scale_cpu_f32, k_scale_cpu_f64)
{
  const k_scale_args *a = args;
  K_PARALLEL_FOR
  for (int64_t r = 0; r < a->y.rows; r++) {
    real *y = k_row_of(&a->y, r);
    for (int64_t c = 0; c < a->y.cols; c++)
      y[c] *= (real)a->value;
  }
}

K_KERNEL(k_bias_fwd_cpu_f32, k_bias_fwd_cpu_f64)
{
  const k_bias_fwd_args *a = args;
  const real *bias = a->bias.data;
  K_PARALLEL_FOR
  for (int64_t r = 0; r < a->y.rows; r++) {
    real *y = k_row_of(&a->y, r);
    for (int64_t c = 0; c < a->y.cols; c++)
      y[c] += bias[c];
  }
}

/** Threads divide the columns; each column is summed in order of rows. */
K_KERNEL(k_bias_bwd_cpu_f32, k_bias_bwd_cpu_f64)
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
      const real *dy = k_row_of(&a->dy, r);
      for (int64_t c = c0; c < c1; c++)
        dbias[c] += dy[c];
    }
  }
}
