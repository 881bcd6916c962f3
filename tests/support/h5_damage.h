/** \file h5_damage.h
 *  Invalid HDF5 metadata with valid checksums. */
#ifndef RT_H5_DAMAGE_H
#define RT_H5_DAMAGE_H

#include "base/rng.h"
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

/** Bytes [at, at + n) of a file that a checksum covers, which lies at byte sum
 *  of them; sum < 0: none does. */
typedef struct h5_block {
  size_t at, n;
  long sum;
} h5_block;

enum { H5_MAX_BLOCKS = 256, H5_MAX_BLOCK = 1 << 16 };

typedef struct h5_image {
  unsigned char *data; // owned [n]
  size_t n;
  h5_block block[H5_MAX_BLOCKS];
  int n_blocks;
} h5_image;

/** All blocks of metadata with a checksum. */
void h5_find_blocks(h5_image *x);

/** Numbers of a sequence that \a seed and \a trial choose. */
typedef struct dice {
  uint64_t seed, trial, n;
} dice;

/** Up to four changes; all checksums are right again. */
void h5_damage(h5_image *x, dice *d);

#endif
