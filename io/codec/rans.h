/** \file rans.h
 *  Numbers into few bits: static rANS models and raw bits.  Layer: io.  Memory
 *  to memory.  Format: doc/formats.md, "Streams".
 *
 *  rANS after J. Duda, "Asymmetric numeral systems" (arXiv:1311.2540): two
 *  32-bit states that take turns, 16-bit words, frequencies of 12 bits. */
#ifndef RT_RANS_H
#define RT_RANS_H

#include "io/common/bytes.h"
#include <string.h>

enum {
  RT_RANS_BITS = 12,
  RT_RANS_SCALE = 1 << RT_RANS_BITS,
  RT_RANS_SYMBOLS = 256,
  RT_RANS_ESCAPE = 255, /**< then the symbol in 8 raw bits */
  RT_RANS_LEAST = 8,    /**< frequency of the escape: so no symbol is free, and
                             few bytes cannot stand for endlessly many */
};
static const uint32_t rt_rans_low = 1U << 16; /**< states are at least this */

/** How often each symbol comes, of RT_RANS_SCALE. */
typedef struct rt_rans_model {
  uint32_t code[RT_RANS_SYMBOLS]; /**< frequency << 16 | sum of those before */
  uint8_t slot[RT_RANS_SCALE];    /**< the symbol that owns a slot */
} rt_rans_model;

/** Numbers of \a m bits: the first number of each symbol, its raw bits; more
 *  than 32 of these mean that no number has the symbol. */
typedef struct rt_rans_numbers {
  uint32_t first[RT_RANS_SYMBOLS];
  uint8_t n_raw[RT_RANS_SYMBOLS];
} rt_rans_numbers;
void rt_rans_numbers_init(int m, rt_rans_numbers *out);

/** Frequencies from counts; all counts may be 0. */
void rt_rans_learn(const uint32_t count[RT_RANS_SYMBOLS], rt_rans_model *out);
RT_MUST rt_err rt_rans_store(const rt_rans_model *model, rt_bytes *out);
/** From rt_rans_store()'s bytes at *at, which moves on; nothing is believed. */
RT_MUST rt_err rt_rans_load(const unsigned char *data, size_t n, size_t *at,
                            const char *name, rt_rans_model *out);

/** --- writing: symbols are kept, then coded from the last to the first --- */
typedef struct rt_rans_out {
  uint32_t *op; // owned [n_op <= room]: freq << 16 | cum
  size_t n_op, room;
  rt_bytes bits; // owned; raw bits, the first in the lowest place
  uint64_t pending;
  int n_pending;
  uint32_t (*count)[RT_RANS_SYMBOLS]; /**< borrowed; not NULL: only count */
} rt_rans_out;
/** Number \a v >= 0 by model number \a i of \a models: 2^(m+1) symbols for the
 *  first numbers, then 2^m for each octave and raw bits. */
RT_MUST rt_err rt_rans_put(rt_rans_out *out, const rt_rans_model *models, int i,
                           uint64_t v, int m);
/** Append the stream and start anew. */
RT_MUST rt_err rt_rans_finish(rt_rans_out *out, rt_bytes *to);
void rt_rans_out_clear(rt_rans_out *out);

/** --- reading: never beyond its bytes; `bad` stays --- */
typedef struct rt_rans_in {
  const unsigned char *word, *word_end; // borrowed
  const unsigned char *bits, *bits_end; // borrowed
  uint64_t pending;
  int n_pending;
  uint32_t x[2];
  unsigned turn;
  bool bad;
} rt_rans_in;
/** \a data [n] is the whole stream. */
RT_MUST rt_err rt_rans_open(const unsigned char *data, size_t n,
                            const char *name, rt_rans_in *out);
/** RT_ERR_DATA unless all was read and nothing was missing. */
RT_MUST rt_err rt_rans_close(const rt_rans_in *in, const char *name);

/** \a n <= 32 raw bits. */
static inline uint32_t rt_rans_bits(rt_rans_in *in, int n)
{
  if (in->n_pending < n) {
    if (in->bits_end - in->bits >= 8) { // as many bytes as fit
      uint64_t more;
      memcpy(&more, in->bits, sizeof more);
      in->pending |= more << in->n_pending;
      in->bits += (63 - in->n_pending) / 8;
      in->n_pending |= 56;
    } else
      while (in->n_pending <= 56 && in->bits < in->bits_end) {
        in->pending |= (uint64_t)*in->bits++ << in->n_pending;
        in->n_pending += 8;
      }
    if (in->n_pending < n) {
      in->bad = true;
      return 0;
    }
  }
  const uint64_t got = in->pending & ((UINT64_C(1) << n) - 1);
  in->pending >>= n;
  in->n_pending -= n;
  return (uint32_t)got;
}

/** The slot that a state is in: whose symbol comes next. */
static inline uint32_t rt_rans_slot(uint32_t state)
{
  return state & (RT_RANS_SCALE - 1);
}

/** Take the symbol of \a code, which owns the slot, out of *state.  No branch
 *  that cannot be foreseen: the next word is looked at in any case.  \a sure:
 *  one is there. */
static inline void rt_rans_drop(rt_rans_in *in, uint32_t *state, uint32_t code,
                                bool sure)
{
  static const unsigned char none[2] = {0};
  const bool at_end = !sure && in->word == in->word_end;
  const unsigned char *const w = at_end ? none : in->word;
  const uint32_t word = (uint32_t)w[0] | (uint32_t)w[1] << 8;
  const uint32_t x = (code >> 16) * (*state >> RT_RANS_BITS) +
                     rt_rans_slot(*state) - (code & 0xFFFF);
  const bool low = x < rt_rans_low;
  if (!sure)
    in->bad |= low & at_end;
  *state = low ? x << 16 | word : x;
  in->word += (low && !at_end) ? 2 : 0;
}

/** The number that \a symbol begins, less than 2^33 whatever the bytes are. */
static inline uint64_t rt_rans_number(rt_rans_in *in, unsigned symbol,
                                      const rt_rans_numbers *numbers)
{
  if (symbol == RT_RANS_ESCAPE)
    symbol = rt_rans_bits(in, 8);
  const int n_raw = numbers->n_raw[symbol];
  if (n_raw > 32) {
    in->bad = true;
    return 0;
  }
  return (uint64_t)numbers->first[symbol] + rt_rans_bits(in, n_raw);
}

/** What rt_rans_put() wrote, from the state whose turn it is. */
static inline uint64_t rt_rans_take(rt_rans_in *in, const rt_rans_model *model,
                                    const rt_rans_numbers *numbers)
{
  uint32_t *const state = &in->x[in->turn];
  const unsigned symbol = model->slot[rt_rans_slot(*state)];
  in->turn ^= 1;
  rt_rans_drop(in, state, model->code[symbol], false);
  return rt_rans_number(in, symbol, numbers);
}

#endif
