/** \file tensor.c */
#include "support/tensor.h"

#include "kernels/check.h"

void *tensor_memory(size_t bytes)
{
  static _Alignas(64) char pool[TENSOR_POOL];
  static size_t used;
  if (bytes == 0) {
    used = 0;
    return NULL;
  }
  void *at = pool + used;
  used += (bytes + 63) / 64 * 64;
  CU_ASSERT_FATAL(used <= sizeof pool);
  return at;
}

void tensor_reset(void)
{
  tensor_memory(0);
}

void tensor_set(tensor *t, int64_t r, int64_t c, double x)
{
  t->f[r * t->ld + c] = (float)x;
  t->d[r * t->ld + c] = (double)(float)x;
}

tensor tensor_random(int64_t rows, int64_t cols, uint64_t stream)
{
  const int64_t ld = cols == 1 ? 1 : cols + TENSOR_GAP;
  const size_t n = (size_t)(rows * ld);
  tensor t = {rows, cols, ld, tensor_memory(n * sizeof(double)),
              tensor_memory(n * sizeof(float))};
  for (int64_t r = 0; r < rows; r++)
    for (int64_t c = 0; c < ld; c++)
      tensor_set(&t, r, c,
                 c < cols ? rt_rng_normal(3, RT_RNG_TEST, stream,
                                          (uint64_t)(r * cols + c))
                          : tensor_sentinel);
  return t;
}

tensor tensor_output(int64_t rows, int64_t cols)
{
  tensor t = tensor_random(rows, cols, 0);
  for (int64_t r = 0; r < rows; r++)
    for (int64_t c = 0; c < cols; c++)
      tensor_set(&t, r, c, NAN);
  return t;
}

rt_view tensor_view(const tensor *t, rt_dtype type)
{
  return (rt_view){type == RT_F64 ? (void *)t->d : (void *)t->f, type, t->rows,
                   t->cols, t->ld};
}

double tensor_at(const tensor *t, rt_dtype type, int64_t r, int64_t c)
{
  return type == RT_F64 ? t->d[r * t->ld + c] : (double)t->f[r * t->ld + c];
}

double tensor_error(const tensor *t, rt_dtype type, const double *want)
{
  double difference = 0.0, norm = 0.0;
  for (int64_t r = 0; r < t->rows; r++) {
    for (int64_t c = 0; c < t->cols; c++) {
      const double w = want[r * t->cols + c];
      const double e = tensor_at(t, type, r, c) - w;
      difference += e * e;
      norm += w * w;
    }
    for (int64_t c = t->cols; c < t->ld; c++)
      if (tensor_at(t, type, r, c) != tensor_sentinel)
        return INFINITY;
  }
  return sqrt(difference) / (sqrt(norm) + 1e-30);
}

double tensor_tolerance(rt_dtype type)
{
  return type == RT_F64 ? 1e-13 : 1e-6;
}

void tensor_check(const tensor *t, rt_dtype type, const double *want,
                  const char *what)
{
  const double error = tensor_error(t, type, want);
  CU_ASSERT(error <= tensor_tolerance(type));
  if (!(error <= tensor_tolerance(type)))
    fprintf(stderr, "%s in %s: error %g\n", what, rt_dtype_name(type), error);
}

bool tensor_same(const tensor *a, const tensor *b, rt_dtype type)
{
  const size_t n = (size_t)(a->rows * a->ld);
  return type == RT_F64 ? memcmp(a->d, b->d, n * sizeof(double)) == 0
                        : memcmp(a->f, b->f, n * sizeof(float)) == 0;
}

bool tensor_same_bits(const void *a, const void *b, size_t bytes)
{
  return memcmp(a, b, bytes) == 0;
}

double *tensor_want(int64_t rows, int64_t cols)
{
  double *want = tensor_memory((size_t)(rows * cols) * sizeof(double));
  memset(want, 0, (size_t)(rows * cols) * sizeof(double));
  return want;
}

rt_view tensor_ints(int32_t *x, int64_t rows, int64_t cols)
{
  return rt_view_of(x, RT_I32, rows, cols);
}

rt_view tensor_f64(double *x, int64_t rows, int64_t cols)
{
  return rt_view_of(x, RT_F64, rows, cols);
}

k_ctx tensor_ctx(int n_threads)
{
  static _Alignas(64) char workspace[12 << 20];
  return (k_ctx){.n_threads = n_threads,
                 .workspace = workspace,
                 .workspace_bytes = sizeof workspace};
}

void tensor_run_on(int n_threads, k_id kernel, rt_dtype type, const void *args)
{
  k_ctx ctx = tensor_ctx(n_threads);
  const k_row *row = &k_table_cpu()[kernel];
  const k_set set = type == RT_F64    ? K_SET_F64
                    : type == RT_BF16 ? K_SET_BF16
                                      : K_SET_F32;
  CU_ASSERT_FATAL(k_workspace_cpu(&ctx, kernel, args) <= ctx.workspace_bytes);
  // a launch chooses the set by the types of the views
  CU_ASSERT(k_args_fit(&ctx, row->shapes, k_set_of(row->shapes, args), args));
  row->fn[set](&ctx, args);
  CU_ASSERT_EQUAL(ctx.err, RT_OK);
  if (ctx.err != RT_OK)
    fprintf(stderr, "%s: %s\n", row->name, rt_err_text());
}

double tensor_dot(const tensor *y, const tensor *weight)
{
  double sum = 0.0;
  for (int64_t r = 0; r < y->rows; r++)
    for (int64_t c = 0; c < y->cols; c++)
      sum += y->d[r * y->ld + c] * weight->d[r * weight->ld + c];
  return sum;
}

double *tensor_differences(tensor *x, double (*loss)(void *), void *user)
{
  const double h = 1e-5;
  double *out = tensor_want(x->rows, x->cols);
  for (int64_t r = 0; r < x->rows; r++)
    for (int64_t c = 0; c < x->cols; c++) {
      double *at = &x->d[r * x->ld + c];
      const double keep = *at;
      *at = keep + h;
      const double up = loss(user);
      *at = keep - h;
      out[r * x->cols + c] = (up - loss(user)) / (2.0 * h);
      *at = keep;
    }
  return out;
}

void tensor_check_gradient(const tensor *g, const double *want,
                           const char *what)
{
  const double error = tensor_error(g, RT_F64, want);
  CU_ASSERT(error <= 1e-6);
  if (!(error <= 1e-6))
    fprintf(stderr, "%s: differs from differences by %g\n", what, error);
}
