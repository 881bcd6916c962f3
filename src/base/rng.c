/** \file rng.c
 *  Counter-based random numbers. */
#include "base/rng.h"

#include <math.h>
#include <Random123/philox.h>

void rt_rng_bits(uint64_t seed, rt_rng_purpose purpose, uint64_t row,
                 uint64_t index, uint32_t out[4])
{
  const philox4x32_ctr_t counter = {{(uint32_t)index, (uint32_t)(index >> 32),
                                     (uint32_t)row, (uint32_t)(row >> 32)}};
  // the purpose is the upper byte of the key; seeds have 56 bits (limited by
  // the deck)
  const uint64_t mixed = seed ^ ((uint64_t)purpose << 56);
  const philox4x32_key_t key = {{(uint32_t)mixed, (uint32_t)(mixed >> 32)}};
  const philox4x32_ctr_t r = philox4x32(counter, key);
  for (int i = 0; i < 4; i++)
    out[i] = r.v[i];
}

static double unit(uint32_t high, uint32_t low)
{
  const uint64_t bits = ((uint64_t)high << 32 | low) >> 11;
  return (double)bits * 0x1p-53;
}

double rt_rng_uniform(uint64_t seed, rt_rng_purpose purpose, uint64_t row,
                      uint64_t index)
{
  uint32_t r[4];
  rt_rng_bits(seed, purpose, row, index, r);
  return unit(r[0], r[1]);
}

double rt_rng_normal(uint64_t seed, rt_rng_purpose purpose, uint64_t row,
                     uint64_t index)
{
  uint32_t r[4];
  rt_rng_bits(seed, purpose, row, index, r);
  const double radius = sqrt(-2.0 * log(1.0 - unit(r[0], r[1])));
  return radius * cos(2.0 * M_PI * unit(r[2], r[3]));
}

/** One pass of an 8-round Feistel network over 2 * \a half bits. */
static uint64_t feistel(uint64_t seed, uint64_t epoch, int half, uint64_t x)
{
  const uint64_t mask = (UINT64_C(1) << half) - 1;
  uint64_t left = x >> half, right = x & mask;
  for (uint64_t round = 0; round < 8; round++) {
    uint32_t r[4];
    rt_rng_bits(seed, RT_RNG_ORDER, epoch << 3 | round, right, r);
    const uint64_t next = left ^ (((uint64_t)r[0] << 32 | r[1]) & mask);
    left = right;
    right = next;
  }
  return left << half | right;
}

uint64_t rt_rng_permute(uint64_t seed, uint64_t epoch, uint64_t n, uint64_t i)
{
  int half = 1;
  while (2 * half < 64 && (UINT64_C(1) << (2 * half)) < n)
    half++;
  do // the domain has at most 4 n values, so a few steps reach one below n
    i = feistel(seed, epoch, half, i);
  while (i >= n);
  return i;
}
