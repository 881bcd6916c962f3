/** \file rng.h
 *  Counter-based random numbers (Philox 4x32-10, Random123).  A value is a
 *  function of (seed, purpose, row, index), never of ranks or the order of
 *  calls.  Layer: base. */
#ifndef RT_RNG_H
#define RT_RNG_H

#include <stdint.h>

/** Purpose of the numbers.  Streams of different purposes are independent. */
typedef enum rt_rng_purpose {
  RT_RNG_INIT = 1,  /**< weights: row = tensor and row, index = column */
  RT_RNG_ORDER = 2, /**< order of corpus rows */
  RT_RNG_SPLIT = 3, /**< train or validation, by document */
  RT_RNG_TEST = 4,
  RT_RNG_DRAW =
      5, /**< ids drawn from a teacher's softmax: row = row of the stream */
} rt_rng_purpose;

/** 128 random bits. */
void rt_rng_bits(uint64_t seed, rt_rng_purpose purpose, uint64_t row,
                 uint64_t index, uint32_t out[4]);
/** Uniform in [0, 1), 53 bits. */
double rt_rng_uniform(uint64_t seed, rt_rng_purpose purpose, uint64_t row,
                      uint64_t index);
/** Standard normal (Box-Muller). */
double rt_rng_normal(uint64_t seed, rt_rng_purpose purpose, uint64_t row,
                     uint64_t index);
/** Element \a i of a pseudo-random permutation of 0..n-1 selected by (seed,
 *  epoch).  Needs no memory (a Feistel network with cycle walking). */
uint64_t rt_rng_permute(uint64_t seed, uint64_t epoch, uint64_t n, uint64_t i);

#endif
