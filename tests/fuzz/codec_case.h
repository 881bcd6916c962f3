/** \file codec_case.h
 *  How the bytes of a fuzzer become a spec, tables and a record. */
#ifndef RT_CODEC_CASE_H
#define RT_CODEC_CASE_H

#include "io/codec/codec.h"

/** Byte 0: the bits below; byte 1: which vocabulary; then u16 bytes of tables,
 *  the tables, and the rest is a record. */
enum {
  CASE_HEAD = 4,
  CASE_KIND = 3,
  CASE_ENTROPY = 4,
  CASE_DEVIATION = 8,
  CASE_STEP = 16,
  CASE_BLANK = 32, /**< the tables of no rows, instead of the given ones */
  CASE_VOCABS = 5
};

static inline rt_codec_spec case_spec(unsigned flags, unsigned i_vocab)
{
  static const uint64_t vocabs[CASE_VOCABS] = {1, 5, 300, 70000,
                                               (uint64_t)1 << 32};
  const unsigned kind = flags & CASE_KIND;
  rt_codec_spec spec = {.kind = kind < RT_CODEC_N_KINDS ? (rt_codec_kind)kind
                                                        : RT_CODEC_PACKED,
                        .vocab = vocabs[i_vocab % CASE_VOCABS],
                        .max_tokens = 64,
                        .entropy = flags & CASE_ENTROPY,
                        .deviation = flags & CASE_DEVIATION,
                        .step = flags & CASE_STEP};
  spec.max_entries = spec.vocab < 100 ? (int64_t)spec.vocab : 100;
  spec.n_draws = spec.kind == RT_CODEC_SAMPLED ? 50 : 0;
  return spec;
}

#endif
