/** \file check.c
 *  Checks the arguments of a kernel against its row of the table. */
#include "kernels/check.h"

#include <ctype.h>
#include <limits.h>

/** The size that each letter stands for in this call; -1 while unknown. */
typedef struct letters {
  int64_t size[UCHAR_MAX + 1];
} letters;

/** Characters of a view in shapes, with the space behind them. */
enum { STEP = 4 };

static bool is_real(rt_dtype type)
{
  return type == RT_F32 || type == RT_F64 || type == RT_BF16;
}

/** The type that a letter stands for in a set; if that can be any, \a got
 *  where it is a real one. */
static rt_dtype dtype_of(char letter, k_set set, rt_dtype got)
{
  static const rt_dtype of[K_N_SET] = {RT_F32, RT_F64, RT_BF16};
  const rt_types t = rt_types_of(of[set]);
  switch (tolower((unsigned char)letter)) {
  case 'i':
    return RT_I32;
  case 'd':
    return RT_F64;
  case 'f':
    return RT_F32;
  case 'w':
    return t.weight;
  case 'p':
    return t.master;
  case 'g':
    return t.grad;
  case 'a':
    return t.act;
  case 's':
    return t.stat;
  case 'z':
    return t.tile;
  case 'e':
    return t.dtile;
  case 'm':
    return t.moment;
  default:
    return is_real(got) ? got : of[set];
  }
}

bool k_may_be_absent(const char *shape)
{
  return isupper((unsigned char)shape[0]) != 0;
}

/** Number of views whose type is that of the set. */
static int count_fits(const char *shapes, k_set set, const rt_view *views)
{
  int n = 0;
  for (int i = 0;; i++, shapes += STEP) {
    const bool absent = k_may_be_absent(shapes) && views[i].rows == 0;
    n += !absent && views[i].dtype == dtype_of(shapes[0], set, views[i].dtype);
    if (shapes[STEP - 1] == '\0')
      return n;
  }
}

k_set k_set_of(const char *shapes, const void *args)
{
  k_set best = K_SET_F32;
  int most = -1;
  for (k_set set = K_SET_F32; set < K_N_SET; set++) {
    const int n = count_fits(shapes, set, args);
    best = n > most ? set : best;
    most = n > most ? n : most;
  }
  return best;
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
static bool view_fits(k_ctx *ctx, letters *l, const char *shape, k_set set,
                      const rt_view *v, int i_view)
{
  if (k_may_be_absent(shape) && v->data == NULL)
    return true;
  const rt_dtype type = dtype_of(shape[0], set, v->dtype);
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

bool k_args_fit(k_ctx *ctx, const char *shapes, k_set set, const void *args)
{
  if (ctx->err != RT_OK)
    return false;
  letters l;
  for (size_t i = 0; i < sizeof l.size / sizeof l.size[0]; i++)
    l.size[i] = -1;
  const rt_view *views = args;
  for (int i = 0;; i++, shapes += STEP) {
    if (!view_fits(ctx, &l, shapes, set, &views[i], i))
      return false;
    if (shapes[STEP - 1] == '\0')
      return true;
  }
}
