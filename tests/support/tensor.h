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
void *tensor_memory(size_t bytes);

/** All earlier tensors are gone. */
void tensor_reset(void);

void tensor_set(tensor *t, int64_t r, int64_t c, double x);

/** Standard normal numbers that f32 holds exactly. */
tensor tensor_random(int64_t rows, int64_t cols, uint64_t stream);

/** NaN everywhere: what a kernel writes whole. */
tensor tensor_output(int64_t rows, int64_t cols);

rt_view tensor_view(const tensor *t, rt_dtype type);

double tensor_at(const tensor *t, rt_dtype type, int64_t r, int64_t c);

/** Norm of the difference to want [rows, cols] over want's norm; Inf when a
 *  kernel wrote between the rows. */
double tensor_error(const tensor *t, rt_dtype type, const double *want);

/** A tolerance belongs to a type. */
double tensor_tolerance(rt_dtype type);

/** The kernel's result is want, to the tolerance of its type. */
void tensor_check(const tensor *t, rt_dtype type, const double *want,
                  const char *what);

/** Same bits? */
bool tensor_same(const tensor *a, const tensor *b, rt_dtype type);
bool tensor_same_bits(const void *a, const void *b, size_t bytes);

double *tensor_want(int64_t rows, int64_t cols);

rt_view tensor_ints(int32_t *x, int64_t rows, int64_t cols);

rt_view tensor_f64(double *x, int64_t rows, int64_t cols);

/** A context with workspace for \a n_threads. */
k_ctx tensor_ctx(int n_threads);

/** Run a kernel of the table; it must succeed. */
void tensor_run_on(int n_threads, k_id kernel, rt_dtype type, const void *args);

/** TENSOR_RUN(type, rmsnorm_fwd, .x = ..., ...) on two threads. */
#define TENSOR_RUN(type, op, ...)                                              \
  tensor_run_on(2, K_##op, (type), &(k_##op##_args){__VA_ARGS__})

/** sum of y * weight, in f64: a scalar loss of an output. */
double tensor_dot(const tensor *y, const tensor *weight);

/** Central differences of \a loss by every element of x in f64. */
double *tensor_differences(tensor *x, double (*loss)(void *), void *user);

/** A gradient in f64 against differences, 1e-6 of its norm. */
void tensor_check_gradient(const tensor *g, const double *want,
                           const char *what);

#endif
