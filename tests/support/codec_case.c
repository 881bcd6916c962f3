/** \file codec_case.c */
#include "support/codec_case.h"

rt_codec_spec case_spec(unsigned flags, unsigned i_vocab)
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
