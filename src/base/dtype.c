/** \file dtype.c
 *  Element types.  Conversions are used in set-up only; all but those between
 *  f32 and bf16 go through double. */
#include "base/dtype.h"

#include "base/bf16.h"
#include "base/err.h"
#include <math.h>
#include <string.h>

static const struct {
  size_t size;
  const char *name;
} table[RT_N_DTYPE] = {
    [RT_F32] = {4, "f32"}, [RT_F64] = {8, "f64"}, [RT_BF16] = {2, "bf16"},
    [RT_F16] = {2, "f16"}, [RT_I32] = {4, "i32"}, [RT_U8] = {1, "u8"},
    [RT_U16] = {2, "u16"}, [RT_U32] = {4, "u32"}, [RT_U64] = {8, "u64"},
};

rt_types rt_types_of(rt_dtype type)
{
  const rt_dtype wide = type == RT_BF16 ? RT_F32 : type;
  return (rt_types){.weight = type,
                    .master = wide,
                    .grad = wide,
                    .act = type,
                    .stat = wide,
                    .tile = wide,
                    .dtile = type,
                    .moment = wide};
}

size_t rt_dtype_size(rt_dtype type)
{
  return table[type].size;
}

const char *rt_dtype_name(rt_dtype type)
{
  return table[type].name;
}

static double half_to_double(uint16_t h)
{
  const int exponent = (h >> 10) & 31;
  const double fraction = (double)(h & 1023);
  double x;
  if (exponent == 31)
    x = fraction != 0.0 ? (double)NAN : (double)INFINITY;
  else if (exponent == 0)
    x = ldexp(fraction, -24);
  else
    x = ldexp(1024.0 + fraction, exponent - 25);
  return (h & 0x8000) != 0 ? -x : x;
}

static uint16_t double_to_half(double x)
{
  const uint16_t sign = signbit(x) ? 0x8000 : 0;
  const double a = fabs(x);
  if (isnan(x))
    return (uint16_t)(sign | 0x7e00);
  if (a >= 65520.0) // would round above 65504, the largest half
    return (uint16_t)(sign | 0x7c00);
  int exponent = a > 0.0 ? ilogb(a) : -15;
  if (exponent < -14)
    exponent = -14; // subnormal numbers have a fixed spacing of 2^-24
  const unsigned steps = (unsigned)nearbyint(ldexp(a, 10 - exponent));
  // steps includes the hidden bit (1024), so a carry increments the exponent
  return (uint16_t)(sign | (((unsigned)(exponent + 14) << 10) + steps));
}

static double load(const void *from, rt_dtype type, size_t i)
{
  switch (type) {
  case RT_F32:
    return (double)((const float *)from)[i];
  case RT_F64:
    return ((const double *)from)[i];
  case RT_BF16:
    return (double)rt_bf16_get(((const rt_bf16 *)from)[i]);
  case RT_F16:
    return half_to_double(((const uint16_t *)from)[i]);
  default:
    RT_ASSERT(false && "a floating-point type");
    return 0.0;
  }
}

static void store(void *to, rt_dtype type, size_t i, double x)
{
  switch (type) {
  case RT_F32:
    ((float *)to)[i] = (float)x;
    break;
  case RT_F64:
    ((double *)to)[i] = x;
    break;
  case RT_BF16:
    ((rt_bf16 *)to)[i] = rt_bf16_put((float)x);
    break;
  case RT_F16:
    ((uint16_t *)to)[i] = double_to_half(x);
    break;
  default:
    RT_ASSERT(false && "a floating-point type");
  }
}

void rt_dtype_convert(void *to, rt_dtype to_type, const void *from,
                      rt_dtype from_type, size_t n)
{
  if (to_type == from_type) {
    memmove(to, from, n * rt_dtype_size(to_type));
    return;
  }
  if (to_type == RT_F32 && from_type == RT_BF16)
    for (size_t i = 0; i < n; i++)
      ((float *)to)[i] = rt_bf16_get(((const rt_bf16 *)from)[i]);
  else if (to_type == RT_BF16 && from_type == RT_F32)
    for (size_t i = 0; i < n; i++)
      ((rt_bf16 *)to)[i] = rt_bf16_put(((const float *)from)[i]);
  else if (to_type == RT_F32 && from_type == RT_F64)
    for (size_t i = 0; i < n; i++)
      ((float *)to)[i] = (float)((const double *)from)[i];
  else
    for (size_t i = 0; i < n; i++)
      store(to, to_type, i, load(from, from_type, i));
}
