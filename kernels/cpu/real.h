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

/** e^x for x <= 0 (valid up to 80) to about 1 ulp; 0 below the smallest normal
 *  number; NaN for NaN.
 *
 *  x = n ln 2 + r with |r| <= ln 2 / 2; e^r is a Taylor polynomial.  n is taken
 *  from the low bits of x log2(e) + 1.5 * 2^23 (2^52 in f64), which needs no
 *  conversion instruction, so every compiler vectorises it.  At the lowest x
 * the biased exponent becomes 0 and with it the result, which saves a second
 *  comparison. */
static inline real k_exp(real x)
{
#ifdef K_REAL_F64
  const double low = -709.0, magic = 6755399441055744.0;
  const double y = x < low ? low : x;
  const double shifted = y * 1.4426950408889634 + magic, n = shifted - magic;
  const double r =
      (y - n * 0.693147180369123816490) - n * 1.90821492927058770002e-10;
  double p = 1.0 / 6227020800.0;
  p = p * r + 1.0 / 479001600.0;
  p = p * r + 1.0 / 39916800.0;
  p = p * r + 1.0 / 3628800.0;
  p = p * r + 1.0 / 362880.0;
  p = p * r + 1.0 / 40320.0;
  p = p * r + 1.0 / 5040.0;
  p = p * r + 1.0 / 720.0;
  p = p * r + 1.0 / 120.0;
  p = p * r + 1.0 / 24.0;
  p = p * r + 1.0 / 6.0;
  p = p * r + 0.5;
  p = p * r + 1.0;
  p = p * r + 1.0;
  uint64_t bits;
  memcpy(&bits, &shifted, sizeof bits);
  bits = (bits << 52) + UINT64_C(0x3ff0000000000000);
  double scale;
  memcpy(&scale, &bits, sizeof scale);
  return p * scale;
#else
  const float low = -88.0f, magic = 12582912.0f;
  const float y = x < low ? low : x;
  const float shifted = y * 1.44269504f + magic, n = shifted - magic;
  const float r = (y - n * 0.693359375f) + n * 2.12194440e-4f;
  float p = 1.0f / 5040.0f;
  p = p * r + 1.0f / 720.0f;
  p = p * r + 1.0f / 120.0f;
  p = p * r + 1.0f / 24.0f;
  p = p * r + 1.0f / 6.0f;
  p = p * r + 0.5f;
  p = p * r + 1.0f;
  p = p * r + 1.0f;
  uint32_t bits;
  memcpy(&bits, &shifted, sizeof bits);
  bits = (bits << 23) + UINT32_C(0x3f800000);
  float scale;
  memcpy(&scale, &bits, sizeof scale);
  return p * scale;
#endif
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
