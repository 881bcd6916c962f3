/** \file copy_fill.c
 *  Kernels copy and fill, for any real type. */
#include "base/bf16.h"
#include "kernels/cpu/copy.h"
#include "kernels/cpu/parallel.h"
#include "kernels/cpu/table_cpu.h"

static char *row_of(const rt_view *v, int64_t r)
{
  return (char *)v->data + (size_t)(r * v->ld) * rt_dtype_size(v->dtype);
}

static void copy_row(void *to, rt_dtype to_type, const void *from,
                     rt_dtype from_type, int64_t n)
{
  float *const f = to;
  rt_bf16 *const b = to;
  const float *const from_f = from;
  const rt_bf16 *const from_b = from;
  if (to_type == from_type)
    memcpy(to, from, (size_t)n * rt_dtype_size(to_type));
  else if (to_type == RT_F32)
    for (int64_t i = 0; i < n; i++)
      f[i] = rt_bf16_get(from_b[i]);
  else
    for (int64_t i = 0; i < n; i++)
      b[i] = rt_bf16_put(from_f[i]);
}

void k_copy_rows(k_ctx *ctx, rt_view to, rt_view from)
{
  K_PARALLEL_FOR
  for (int64_t r = 0; r < to.rows; r++)
    copy_row(row_of(&to, r), to.dtype, row_of(&from, r), from.dtype, to.cols);
}

void k_copy_cpu(k_ctx *ctx, const void *args)
{
  const k_copy_args *a = args;
  const rt_dtype from = a->x.dtype, to = a->y.dtype;
  if (from != to && (from == RT_F64 || to == RT_F64)) {
    ctx->err = RT_FAIL(RT_ERR_INTERNAL, "copy: %s to %s", rt_dtype_name(from),
                       rt_dtype_name(to));
    return;
  }
  k_copy_rows(ctx, a->y, a->x);
}

/** Fill y[0..n) with the value. */
static void fill_piece(void *y, rt_dtype type, int64_t n, double value)
{
  float *const f = y;
  double *const d = y;
  rt_bf16 *const b = y;
  const rt_bf16 low = rt_bf16_put((float)value);
  if (type == RT_BF16)
    for (int64_t c = 0; c < n; c++)
      b[c] = low;
  else if (type == RT_F64)
    for (int64_t c = 0; c < n; c++)
      d[c] = value;
  else
    for (int64_t c = 0; c < n; c++)
      f[c] = (float)value;
}

void k_fill_cpu(k_ctx *ctx, const void *args)
{
  const k_fill_args *a = args;
  const int64_t max_cols = 1
                           << 16; // flat buffers, one long row, use all threads
  const int64_t n = (a->y.cols + max_cols - 1) / max_cols;
  const size_t size = rt_dtype_size(a->y.dtype);
  K_PARALLEL_FOR
  for (int64_t i = 0; i < a->y.rows * n; i++) {
    const int64_t c0 = i % n * max_cols, left = a->y.cols - c0;
    fill_piece(row_of(&a->y, i / n) + (size_t)c0 * size, a->y.dtype,
               left < max_cols ? left : max_cols, a->value);
  }
}
