/** \file tensor.h
 *  For tests of kernels: a matrix held as f32 and as f64 with the same numbers,
 *  so that one test serves both rows of the table, and finite differences. */
#ifndef RT_TENSOR_H
#define RT_TENSOR_H

#include "base/rng.h"
#include "kernels/kernels.h"
#include "support/rt_test.h"

#include <math.h>
#include <string.h>

enum { TENSOR_POOL = 8 << 20, TENSOR_GAP = 3 };
static const double tensor_sentinel = 7.25; // between rows; must survive
static const rt_dtype tensor_types[] = {RT_F32, RT_F64};

/** Leading dimension cols + gap, so that a kernel which forgets ld is found. */
typedef struct tensor {
  int64_t rows, cols, ld;
  double *d; // [rows, ld]
  float *f;  // [rows, ld]
} tensor;

/** Memory for one test; forgotten at its end. */
static inline void *tensor_memory(size_t bytes)
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

/** All earlier tensors are gone. */
static inline void tensor_reset(void)
{
  tensor_memory(0);
}

static inline void tensor_set(tensor *t, int64_t r, int64_t c, double x)
{
  t->f[r * t->ld + c] = (float)x;
  t->d[r * t->ld + c] = (double)(float)x;
}

/** Standard normal numbers that f32 holds exactly. */
static inline tensor tensor_random(int64_t rows, int64_t cols, uint64_t stream)
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

/** NaN everywhere: what a kernel writes whole. */
static inline tensor tensor_output(int64_t rows, int64_t cols)
{
  tensor t = tensor_random(rows, cols, 0);
  for (int64_t r = 0; r < rows; r++)
    for (int64_t c = 0; c < cols; c++)
      tensor_set(&t, r, c, NAN);
  return t;
}

static inline rt_view tensor_view(const tensor *t, rt_dtype type)
{
  return (rt_view){type == RT_F64 ? (void *)t->d : (void *)t->f, type, t->rows,
                   t->cols, t->ld};
}

static inline double tensor_at(const tensor *t, rt_dtype type, int64_t r,
                               int64_t c)
{
  return type == RT_F64 ? t->d[r * t->ld + c] : (double)t->f[r * t->ld + c];
}

/** Norm of the difference to want [rows, cols] over want's norm; Inf when a
 *  kernel wrote between the rows. */
static inline double tensor_error(const tensor *t, rt_dtype type,
                                  const double *want)
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

/** A tolerance belongs to a type. */
static inline double tensor_tolerance(rt_dtype type)
{
  return type == RT_F64 ? 1e-13 : 1e-6;
}

/** The kernel's result is want, to the tolerance of its type. */
static inline void tensor_check(const tensor *t, rt_dtype type,
                                const double *want, const char *what)
{
  const double error = tensor_error(t, type, want);
  CU_ASSERT(error <= tensor_tolerance(type));
  if (!(error <= tensor_tolerance(type)))
    fprintf(stderr, "%s in %s: error %g\n", what, rt_dtype_name(type), error);
}

/** Same bits? */
static inline bool tensor_same(const tensor *a, const tensor *b, rt_dtype type)
{
  const size_t n = (size_t)(a->rows * a->ld);
  return type == RT_F64 ? memcmp(a->d, b->d, n * sizeof(double)) == 0
                        : memcmp(a->f, b->f, n * sizeof(float)) == 0;
}

static inline double *tensor_want(int64_t rows, int64_t cols)
{
  double *want = tensor_memory((size_t)(rows * cols) * sizeof(double));
  memset(want, 0, (size_t)(rows * cols) * sizeof(double));
  return want;
}

static inline rt_view tensor_ints(int32_t *x, int64_t rows, int64_t cols)
{
  return rt_view_of(x, RT_I32, rows, cols);
}

static inline rt_view tensor_f64(double *x, int64_t rows, int64_t cols)
{
  return rt_view_of(x, RT_F64, rows, cols);
}

/** A context with workspace for \a n_threads. */
static inline k_ctx tensor_ctx(int n_threads)
{
  static _Alignas(64) char workspace[4 << 20];
  CU_ASSERT_FATAL(k_workspace_bytes(n_threads) <= sizeof workspace);
  return (k_ctx){.n_threads = n_threads,
                 .workspace = workspace,
                 .workspace_bytes = k_workspace_bytes(n_threads)};
}

/** Run a kernel of the table; it must succeed. */
static inline void tensor_run_on(int n_threads, k_id kernel, rt_dtype type,
                                 const void *args)
{
  k_ctx ctx = tensor_ctx(n_threads);
  const k_row *row = &k_table_cpu()[kernel];
  (type == RT_F64 ? row->f64 : row->f32)(&ctx, args);
  CU_ASSERT_EQUAL(ctx.err, RT_OK);
  if (ctx.err != RT_OK)
    fprintf(stderr, "%s: %s\n", row->name, rt_err_text());
}

/** TENSOR_RUN(type, rmsnorm_fwd, .x = ..., ...) on two threads. */
#define TENSOR_RUN(type, op, ...)                                              \
  tensor_run_on(2, K_##op, (type), &(k_##op##_args){__VA_ARGS__})

/** sum of y * weight, in f64: a scalar loss of an output. */
static inline double tensor_dot(const tensor *y, const tensor *weight)
{
  double sum = 0.0;
  for (int64_t r = 0; r < y->rows; r++)
    for (int64_t c = 0; c < y->cols; c++)
      sum += y->d[r * y->ld + c] * weight->d[r * weight->ld + c];
  return sum;
}

/** Central differences of \a loss by every element of x in f64. */
static inline double *tensor_differences(tensor *x, double (*loss)(void *),
                                         void *user)
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

/** A gradient in f64 against differences, 1e-6 of its norm. */
static inline void tensor_check_gradient(const tensor *g, const double *want,
                                         const char *what)
{
  const double error = tensor_error(g, RT_F64, want);
  CU_ASSERT(error <= 1e-6);
  if (!(error <= 1e-6))
    fprintf(stderr, "%s: differs from differences by %g\n", what, error);
}

#endif
