/** \file h5_damage.c */
#include "support/h5_damage.h"

#include <stdbool.h>

/** Bob Jenkins' lookup3, as HDF5 uses it (little-endian). */
static uint32_t lookup3(const unsigned char *data, size_t n)
{
#define ROT(x, k) ((x) << (k) | (x) >> (32 - (k)))
  uint32_t a = 0xdeadbeef + (uint32_t)n, b = a, c = a, w[3];
  for (; n > 12; n -= 12, data += 12) {
    memcpy(w, data, 12);
    a += w[0], b += w[1], c += w[2];
    a -= c, a ^= ROT(c, 4), c += b;
    b -= a, b ^= ROT(a, 6), a += c;
    c -= b, c ^= ROT(b, 8), b += a;
    a -= c, a ^= ROT(c, 16), c += b;
    b -= a, b ^= ROT(a, 19), a += c;
    c -= b, c ^= ROT(b, 4), b += a;
  }
  if (n == 0)
    return c;
  memset(w, 0, 12);
  memcpy(w, data, n);
  a += w[0], b += w[1], c += w[2];
  c ^= b, c -= ROT(b, 14);
  a ^= c, a -= ROT(c, 11);
  b ^= a, b -= ROT(a, 25);
  c ^= b, c -= ROT(b, 16);
  a ^= c, a -= ROT(c, 4);
  b ^= a, b -= ROT(a, 14);
  c ^= b, c -= ROT(b, 24);
  return c;
#undef ROT
}

static uint32_t h5_block_sum(const h5_image *x, const h5_block *b)
{
  unsigned char copy[H5_MAX_BLOCK];
  if ((size_t)b->sum == b->n - 4)
    return lookup3(x->data + b->at, b->n - 4);
  memcpy(copy, x->data + b->at, b->n); // it covers itself, as zeros
  memset(copy + b->sum, 0, 4);
  return lookup3(copy, b->n);
}

static bool h5_sum_holds(const h5_image *x, const h5_block *b)
{
  uint32_t stored;
  memcpy(&stored, x->data + b->at + b->sum, 4);
  return stored == h5_block_sum(x, b);
}

/** How long is the block at \a at, and where is its checksum?  Found by trying;
 *  n = 0: there is none. */
static h5_block h5_measure(const h5_image *x, size_t at)
{
  const size_t room = x->n - at;
  h5_block b = {at, 0, 0};
  if (memcmp(x->data + at, "FHDB", 4) == 0) { // a power of 2, sum in the head
    for (b.n = 64; b.n <= H5_MAX_BLOCK && b.n <= room; b.n *= 2)
      for (b.sum = 14; b.sum <= 21; b.sum++)
        if (h5_sum_holds(x, &b))
          return b;
  } else
    for (b.n = 12; b.n <= H5_MAX_BLOCK && b.n <= room; b.n++) {
      b.sum = (long)b.n - 4;
      if (h5_sum_holds(x, &b))
        return b;
    }
  b.n = 0;
  return b;
}

void h5_find_blocks(h5_image *x)
{
  static const char names[][5] = {"\x89HDF", "OHDR", "OCHK", "FRHP", "FHDB",
                                  "FHIB",    "BTHD", "BTIN", "BTLF", "FAHD",
                                  "FADB",    "EAHD", "EAIB", "EASB", "EADB",
                                  "SMTB",    "SMLI", "FSHD", "FSSE"};
  x->n_blocks = 0;
  for (size_t at = 0; at + 12 <= x->n; at++)
    for (size_t k = 0; k < sizeof names / sizeof names[0]; k++)
      if (memcmp(x->data + at, names[k], 4) == 0 &&
          x->n_blocks < H5_MAX_BLOCKS) {
        const h5_block b = h5_measure(x, at);
        if (b.n > 0)
          x->block[x->n_blocks++] = b;
      }
}

static uint64_t roll(dice *d, uint64_t n)
{
  uint32_t bits[4];
  rt_rng_bits(d->seed, RT_RNG_TEST, d->trial, d->n++, bits);
  return ((uint64_t)bits[0] << 32 | bits[1]) % n;
}

/** Something that a program may stumble over. */
static uint64_t odd_number(const h5_image *x, dice *d)
{
  static const uint64_t odd[] = {
      0,          1,         2,          0x7f,       0x80,       0xff,
      0x7fff,     0x8000,    0xffff,     0x7fffffff, 1ULL << 31, UINT32_MAX,
      1ULL << 32, INT64_MAX, 1ULL << 63, UINT64_MAX};
  const uint64_t which = roll(d, 20);
  if (which < 16)
    return odd[which];
  return which == 16   ? x->n
         : which == 17 ? x->block[roll(d, (uint64_t)x->n_blocks)].at
         : which == 18 ? roll(d, x->n)
                       : roll(d, UINT64_MAX);
}

/** One change inside block \a b. */
static void h5_change(h5_image *x, const h5_block *b, dice *d)
{
  static const size_t sizes[] = {1, 2, 4, 8};
  unsigned char *const to = x->data + b->at + roll(d, b->n);
  const size_t left = (size_t)(x->data + x->n - to);
  size_t size = sizes[roll(d, 4)];
  size = size < left ? size : left;
  const uint64_t how = roll(d, 4), value = odd_number(x, d);
  if (how == 0)
    *to = (unsigned char)(*to ^ 1U << roll(d, 8));
  else if (how == 1) { // from elsewhere in the metadata
    const h5_block *const from = &x->block[roll(d, (uint64_t)x->n_blocks)];
    memmove(to, x->data + from->at + roll(d, from->n - size), size);
  } else if (how == 2) // one more, one less
    *to = (unsigned char)(*to + (roll(d, 2) ? 1 : 255));
  else
    memcpy(to, &value, size);
}

void h5_damage(h5_image *x, dice *d)
{
  const uint64_t n = 1 + roll(d, 4);
  for (uint64_t i = 0; i < n; i++)
    h5_change(x, &x->block[roll(d, (uint64_t)x->n_blocks)], d);
  for (int i = 0; i < x->n_blocks; i++)
    if (x->block[i].sum >= 0) {
      const uint32_t sum = h5_block_sum(x, &x->block[i]);
      memcpy(x->data + x->block[i].at + x->block[i].sum, &sum, 4);
    }
}
