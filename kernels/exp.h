/** \file exp.h
 *  An exponential that every compiler vectorises.  Layer: kernels.  Contains
 *  code: loops around it are only vectorised if it is inlined. */
#ifndef K_EXP_H
#define K_EXP_H

#include <stdint.h>
#include <string.h>

/** e^x for x <= 0 (valid up to 80) to about 1 ulp; 0 below the smallest normal
 *  number; NaN for NaN.
 *
 *  x = n ln 2 + r with |r| <= ln 2 / 2; e^r is a Taylor polynomial.  n is taken
 *  from the low bits of x log2(e) + 1.5 * 2^23 (2^52 in f64), which needs no
 *  conversion instruction, so every compiler vectorises it.  At the lowest x
 * the biased exponent becomes 0 and with it the result, which saves a second
 *  comparison. */
static inline double k_exp_f64(double x)
{
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
}

static inline float k_exp_f32(float x)
{
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
}

#endif
