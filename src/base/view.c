/** \file view.c
 *  Views of matrices. */
#include "base/view.h"

#include "base/err.h"

rt_view rt_view_of(void *data, rt_dtype dtype, int64_t rows, int64_t cols)
{
  return (rt_view){data, dtype, rows, cols, cols};
}

rt_view rt_view_rows(rt_view v, int64_t row0, int64_t n)
{
  RT_ASSERT(row0 >= 0 && n >= 0 && row0 + n <= v.rows);
  v.data = (char *)v.data + (size_t)(row0 * v.ld) * rt_dtype_size(v.dtype);
  v.rows = n;
  return v;
}

rt_view rt_view_cols(rt_view v, int64_t col0, int64_t n)
{
  RT_ASSERT(col0 >= 0 && n >= 0 && col0 + n <= v.cols);
  v.data = (char *)v.data + (size_t)col0 * rt_dtype_size(v.dtype);
  v.cols = n;
  return v;
}

size_t rt_view_size(const rt_view *v)
{
  return (size_t)v->rows * (size_t)v->cols;
}

size_t rt_view_bytes(const rt_view *v)
{
  return rt_view_size(v) * rt_dtype_size(v->dtype);
}
