/** \file check.c
 *  Checks the arguments of a kernel against its row of the table. */
#include "kernels/check.h"

#include <ctype.h>
#include <limits.h>

/** The size that each letter stands for in this call; -1 while unknown. */
typedef struct letters {
  int64_t size[UCHAR_MAX + 1];
} letters;

static rt_dtype dtype_of(char letter, rt_dtype real)
{
  const int lower = tolower((unsigned char)letter);
  return lower == 'i' ? RT_I32 : lower == 'd' ? RT_F64 : real;
}

/** The size that \a letter requires: a digit stands for itself, * accepts any
 *  size, and another letter takes the first size it meets. */
static int64_t required_size(letters *l, char letter, int64_t got)
{
  if (letter == '*')
    return got;
  if (isdigit((unsigned char)letter))
    return letter - '0';
  int64_t *size = &l->size[(unsigned char)letter];
  if (*size < 0)
    *size = got;
  return *size;
}

/** Check one view against three characters: type, rows, columns. */
static bool view_fits(k_ctx *ctx, letters *l, const char *shape, rt_dtype real,
                      const rt_view *v, int i_view)
{
  const bool may_be_absent = isupper((unsigned char)shape[0]);
  if (may_be_absent && v->data == NULL)
    return true;
  const rt_dtype type = dtype_of(shape[0], real);
  const int64_t rows = required_size(l, shape[1], v->rows);
  const int64_t cols = required_size(l, shape[2], v->cols);
  // kernels index a column vector as a contiguous array
  const bool dense = shape[2] != '1' || v->rows <= 1 || v->ld == 1;
  if (v->dtype == type && v->rows == rows && v->cols == cols && dense &&
      (v->data != NULL || rows == 0 || cols == 0))
    return true;
  ctx->err = RT_FAIL(RT_ERR_INTERNAL,
                     "view %d is %s [%lld, %lld], ld %lld, data %p; expected "
                     "%s [%lld, %lld]%s",
                     i_view, rt_dtype_name(v->dtype), (long long)v->rows,
                     (long long)v->cols, (long long)v->ld, v->data,
                     rt_dtype_name(type), (long long)rows, (long long)cols,
                     dense ? "" : " without gaps");
  return false;
}

bool k_args_fit(k_ctx *ctx, const char *shapes, rt_dtype real, const void *args)
{
  if (ctx->err != RT_OK)
    return false;
  letters l;
  for (size_t i = 0; i < sizeof l.size / sizeof l.size[0]; i++)
    l.size[i] = -1;
  const rt_view *views = args;
  for (int i = 0;; i++, shapes += 4) {
    if (!view_fits(ctx, &l, shapes, real, &views[i], i))
      return false;
    if (shapes[3] == '\0')
      return true;
  }
}
