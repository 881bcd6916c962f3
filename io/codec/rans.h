/** \file rans.h
 *  Entropy coding of numbers by static rANS models and raw bits.  Layer: io.
 *  Memory to memory.  Format: doc/formats.md, "Streams".
 *
 *  rANS after J.  Duda, "Asymmetric numeral systems" (arXiv:1311.2540): two
 *  alternating 32-bit states, 16-bit words, 12-bit frequencies. */
#ifndef RT_RANS_H
#define RT_RANS_H

#include "io/common/bytes.h"
#include <string.h>

enum {
  RT_RANS_BITS = 12,
  RT_RANS_SCALE = 1 << RT_RANS_BITS,
  RT_RANS_SYMBOLS = 256,
  RT_RANS_ESCAPE = 255, /**< followed by the symbol in 8 raw bits */
  RT_RANS_LEAST = 8, /**< minimum frequency of the escape, so that no symbol is
                        free and few bytes cannot represent unlimited data */
};
static const uint32_t rt_rans_low = 1U << 16; /**< lower bound of a state */

/** What a symbol means, in one word, as decoding waits for memory: its
 *  frequency in units of 1 / RT_RANS_SCALE, the sum of those before it, and of
 *  the numbers that it stands for the first one and the number of raw bits. */
typedef uint64_t rt_rans_symbol;
enum {
  RT_RANS_FREQ_AT = 12, /**< the sum before it has the bits below */
  RT_RANS_RAW_AT = 25,
  RT_RANS_ODD_AT = 31, /**< an escape, or it stands for no number */
  RT_RANS_FIRST_AT = 32
};
static inline uint32_t rt_rans_sum(rt_rans_symbol s)
{
  return (uint32_t)s & (RT_RANS_SCALE - 1);
}
static inline uint32_t rt_rans_freq(rt_rans_symbol s)
{
  return (uint32_t)(s >> RT_RANS_FREQ_AT) & (2 * RT_RANS_SCALE - 1);
}
static inline int rt_rans_n_raw(rt_rans_symbol s)
{
  return (int)(s >> RT_RANS_RAW_AT) & 63;
}
static inline uint32_t rt_rans_first(rt_rans_symbol s)
{
  return (uint32_t)(s >> RT_RANS_FIRST_AT);
}

/** Symbols of numbers of one precision. */
typedef struct rt_rans_model {
  uint8_t slot[RT_RANS_SCALE]; /**< symbol of a slot */
  rt_rans_symbol symbol[RT_RANS_SYMBOLS];
} rt_rans_model;

/** Frequencies from counts of the symbols of numbers with precision \a m; all
 *  counts may be 0. */
void rt_rans_learn(const uint32_t count[RT_RANS_SYMBOLS], int m,
                   rt_rans_model *out);
RT_MUST rt_err rt_rans_store(const rt_rans_model *model, rt_bytes *out);
/** Read a model from untrusted bytes of rt_rans_store() at *at, which is
 *  advanced. */
RT_MUST rt_err rt_rans_load(const unsigned char *data, size_t n, size_t *at,
                            const char *name, int m, rt_rans_model *out);

/** A writer.  It buffers symbols, which are coded from last to first. */
typedef struct rt_rans_out {
  rt_rans_symbol *op; // owned [n_op <= room]
  size_t n_op, room;
  rt_bytes bits; // owned; raw bits, lowest first
  uint64_t pending;
  int n_pending;
  uint32_t (*count)[RT_RANS_SYMBOLS]; /**< borrowed; if not NULL, only count
                                         symbols */
} rt_rans_out;
/** Write number \a v >= 0 with model \a i of \a models: one symbol each for the
 *  first 2^(m+1) numbers, then 2^m symbols per octave, with raw bits. */
RT_MUST rt_err rt_rans_put(rt_rans_out *out, const rt_rans_model *models, int i,
                           uint64_t v, int m);
/** Append the stream to \a to, and reset the writer. */
RT_MUST rt_err rt_rans_finish(rt_rans_out *out, rt_bytes *to);
void rt_rans_out_clear(rt_rans_out *out);

/** A reader.  It never reads beyond its bytes; `bad` is sticky. */
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
/** RT_ERR_DATA unless the stream was read completely, and nothing beyond it. */
RT_MUST rt_err rt_rans_close(const rt_rans_in *in, const char *name);

/** Read \a n <= 32 raw bits. */
static inline uint32_t rt_rans_bits(rt_rans_in *in, int n)
{
  if (in->n_pending < n) {
    if (in->bits_end - in->bits >= 8) { // load as many bytes as fit
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

/** The slot of a state, which determines the next symbol. */
static inline uint32_t rt_rans_slot(uint32_t state)
{
  return state & (RT_RANS_SCALE - 1);
}

/** What is known of the words that are left. */
typedef enum rt_rans_rest {
  RT_RANS_MAY_END,
  RT_RANS_GOES_ON /**< there is a next one */
} rt_rans_rest;

/** Remove the symbol \a s, which has the slot, from *state.  Without an
 *  unpredictable branch: the next word is always loaded. */
static inline void rt_rans_drop(rt_rans_in *in, uint32_t *state,
                                rt_rans_symbol s, rt_rans_rest rest)
{
  static const unsigned char none[2] = {0};
  const bool sure = rest == RT_RANS_GOES_ON;
  const bool at_end = !sure && in->word == in->word_end;
  const unsigned char *const w = at_end ? none : in->word;
  const uint32_t word = (uint32_t)w[0] | (uint32_t)w[1] << 8;
  const uint32_t x = rt_rans_freq(s) * (*state >> RT_RANS_BITS) +
                     rt_rans_slot(*state) - rt_rans_sum(s);
  const bool low = x < rt_rans_low;
  if (!sure)
    in->bad |= low & at_end;
  *state = low ? x << 16 | word : x;
  in->word += (low && !at_end) ? 2 : 0;
}

/** Complete the number that starts with the symbol at \a i of a model; less
 *  than 2^33 for any input. */
static inline uint64_t rt_rans_number(rt_rans_in *in,
                                      const rt_rans_model *model, unsigned i)
{
  rt_rans_symbol s = model->symbol[i];
  if (s >> RT_RANS_ODD_AT & 1) {
    if (i == RT_RANS_ESCAPE)
      s = model->symbol[rt_rans_bits(in, 8)];
    if (rt_rans_n_raw(s) > 32) {
      in->bad = true;
      return 0;
    }
  }
  return (uint64_t)rt_rans_first(s) + rt_rans_bits(in, rt_rans_n_raw(s));
}

/** Take a number with \a model from one of the states. */
static inline uint64_t rt_rans_take_from(rt_rans_in *in, uint32_t *state,
                                         const rt_rans_model *model,
                                         rt_rans_rest rest)
{
  const unsigned i = model->slot[rt_rans_slot(*state)];
  rt_rans_drop(in, state, model->symbol[i], rest);
  return rt_rans_number(in, model, i);
}

/** Read a number written by rt_rans_put(), using the next of the two states. */
static inline uint64_t rt_rans_take(rt_rans_in *in, const rt_rans_model *model)
{
  uint32_t *const state = &in->x[in->turn];
  in->turn ^= 1;
  return rt_rans_take_from(in, state, model, RT_RANS_MAY_END);
}

#endif
