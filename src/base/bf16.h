/** \file bf16.h
 *  bf16 on a CPU: the upper half of a float.
 *
 *  Layer: base.  Contains code: compilers vectorise loops over numbers only if
 *  they can inline their conversion. */
#ifndef RT_BF16_H
#define RT_BF16_H

#include <stdint.h>
#include <string.h>

/** It may lie where floats were: gradients replace logits in place. */
typedef uint16_t rt_bf16 __attribute__((may_alias));

static inline float rt_bf16_get(rt_bf16 x)
{
  const uint32_t bits = (uint32_t)x << 16;
  float y;
  memcpy(&y, &bits, sizeof y);
  return y;
}

/** Round to nearest even; NaN remains NaN. */
static inline rt_bf16 rt_bf16_put(float x)
{
  uint32_t bits;
  memcpy(&bits, &x, sizeof bits);
  const uint32_t nearest = (bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16;
  const uint32_t quiet = (bits >> 16) | 0x40u;
  return (rt_bf16)(x == x ? nearest : quiet);
}

#endif
