/** \file view.h
 *  A view of a matrix, the argument type of kernels and communication.  Layer:
 *  base. */
#ifndef RT_VIEW_H
#define RT_VIEW_H

#include "base/dtype.h"

/** Row-major [rows, cols]; element (r, c) is data[r * ld + c].  A view never
 *  owns its data.  An absent operand is an all-zero view (data NULL). */
typedef struct rt_view {
  void *data;
  rt_dtype dtype;
  int64_t rows, cols, ld;
} rt_view;

/** Contiguous view of \a rows x \a cols elements at \a data. */
rt_view rt_view_of(void *data, rt_dtype dtype, int64_t rows, int64_t cols);
/** Rows [row0, row0 + n) of \a v. */
rt_view rt_view_rows(rt_view v, int64_t row0, int64_t n);
/** Columns [col0, col0 + n) of \a v. */
rt_view rt_view_cols(rt_view v, int64_t col0, int64_t n);
/** Number of elements, rows * cols; and their bytes. */
size_t rt_view_size(const rt_view *v);
size_t rt_view_bytes(const rt_view *v);

#endif
