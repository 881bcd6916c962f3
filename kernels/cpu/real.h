/** \file real.h
 *  Common part of the *_real.c files, each of which is compiled once per set of
 *  types.  "real" is the type of arithmetic, statistics, logits, gradients of
 *  weights, master weights and moments; "k_low" that of weights, activations
 * and gradients of logits:
 *
 *     K_REAL_F32    real = float    k_low = float
 *     K_REAL_F64    real = double   k_low = double
 *     K_REAL_BF16   real = float    k_low = bf16
 *
 *  Layer: kernels.  Contains code: compilers vectorise the loops around k_exp()
 *  and k_max() only if they can inline them. */
#ifndef K_REAL_H
#define K_REAL_H

#include "base/bf16.h"
#include "kernels/cpu/parallel.h"
#include "kernels/exp.h"
#include "kernels/kernels.h"

#include <math.h>
#include <string.h>

/** The head of a kernel's definition.  It names the symbols of all
 *  compilations, so that grep finds what a profiler or a backtrace shows. */
#define K_KERNEL(...) K_PICK(__VA_ARGS__, , )
#if defined K_REAL_F64
typedef double real, k_low;
#define K_PICK(f32, f64, ...) void f64(k_ctx *ctx, const void *args)
#define K_DTYPE RT_F64
#elif defined K_REAL_BF16
typedef float real;
typedef rt_bf16 k_low;
#define K_PICK(f32, f64, bf16, ...) void bf16(k_ctx *ctx, const void *args)
#else
typedef float real, k_low;
#define K_PICK(f32, ...) void f32(k_ctx *ctx, const void *args)
#define K_DTYPE RT_F32
#endif

/** The number that a low one stores; the low one nearest to a number. */
static inline real k_get(k_low x)
{
#ifdef K_REAL_BF16
  return rt_bf16_get(x);
#else
  return x;
#endif
}

static inline k_low k_put(real x)
{
#ifdef K_REAL_BF16
  return rt_bf16_put(x);
#else
  return x;
#endif
}

/** Bytes of workspace per thread. */
#define K_THREAD_BYTES ((size_t)256 * 1024)

/** Row \a r of a view of reals. */
static inline real *k_row_of(const rt_view *v, int64_t r)
{
  return (real *)v->data + r * v->ld;
}

/** Row \a r of a view of low numbers. */
static inline k_low *k_low_row(const rt_view *v, int64_t r)
{
  return (k_low *)v->data + r * v->ld;
}

static inline real k_exp(real x)
{
#ifdef K_REAL_F64
  return k_exp_f64(x);
#else
  return k_exp_f32(x);
#endif
}

/** From where exponentials of a row are counted: its maximum \a top, or 0 where
 *  nothing is above -inf, as -inf - -inf would be NaN. */
static inline real k_base(real top)
{
  return top == (real)-INFINITY ? 0 : top;
}

/** Maximum of x[0..n), ignoring NaN; -inf if n is 0.  It keeps one maximum per
 *  lane because compilers may not reorder a single maximum where NaN can
 *  occur. */
static inline real k_max(const real *x, int64_t n)
{
  enum { LANES = 64 };
  real lane[LANES];
  for (int64_t l = 0; l < LANES; l++)
    lane[l] = (real)-INFINITY;
  const int64_t whole = n - n % LANES;
  for (int64_t i = 0; i < whole; i += LANES)
    for (int64_t l = 0; l < LANES; l++)
      lane[l] = x[i + l] > lane[l] ? x[i + l] : lane[l];
  for (int64_t l = 0; l < n - whole; l++)
    lane[l] = x[whole + l] > lane[l] ? x[whole + l] : lane[l];
  for (int64_t width = LANES / 2; width > 0; width /= 2)
    for (int64_t l = 0; l < width; l++)
      lane[l] = lane[l + width] > lane[l] ? lane[l + width] : lane[l];
  return lane[0];
}

#endif
