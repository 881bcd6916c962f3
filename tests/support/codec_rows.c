/** \file codec_rows.c */
#include "support/codec_rows.h"

#include "base/rng.h"
#include <math.h>
#include <string.h>

rt_logits_row codec_row(const rt_codec_spec *spec, int64_t i)
{
  rt_logits_row row = {0};
  const int64_t T = spec->max_tokens - i % 3;
  RT_OKAY(rt_logits_row_tokens(&row, T));
  RT_OKAY(rt_logits_row_optional(
      &row, (rt_logits_optional){.entropy = spec->entropy,
                                 .deviation = spec->deviation}));
  RT_OKAY(rt_logits_row_entries(&row, T * spec->max_entries));
  row.n_tokens = T;
  row.step = 1000 + i;
  row.stream_row = 7 * i;
  for (int64_t t = 0; t <= T; t++) {
    uint32_t x[4];
    rt_rng_bits(5, RT_RNG_TEST, (uint64_t)i, (uint64_t)t, x);
    row.tok[t] = (uint32_t)(x[0] % spec->vocab);
    if (t == T)
      break;
    row.count[t] = x[1] % ((uint32_t)spec->max_entries + 1);
    row.lse[t] = (float)(x[2] % 4096) / 64.0F;
    row.label_logp[t] = -(float)(x[3] % 4096) / 256.0F;
    row.entropy[t] = (float)(x[3] % 640) / 64.0F;
    row.deviation[t] = (float)(x[2] % 640) / 64.0F;
    for (uint32_t k = 0; k < row.count[t]; k++) {
      row.ids[row.n_entries] = (uint32_t)((x[2] + 7919UL * k) % spec->vocab);
      row.logp[row.n_entries++] = -2.0F - 0.25F * (float)k;
    }
  }
  return row;
}

rt_logits_row codec_draws(const rt_codec_spec *spec, int64_t i)
{
  rt_logits_row row = codec_row(spec, i);
  row.n_entries = 0;
  for (int64_t t = 0; t < row.n_tokens; t++) {
    int64_t left = spec->n_draws;
    uint32_t n = 0;
    for (int64_t most = left; left > 0; n++) {
      int64_t c = left / 2 + 1;
      c = c < most ? c : most;
      row.ids[row.n_entries] =
          (uint32_t)((uint64_t)(t * 977 + i + n) * 7919 % spec->vocab);
      row.logp[row.n_entries++] = (float)log((double)c / (double)spec->n_draws);
      left -= c;
      most = c;
    }
    row.count[t] = n;
  }
  // equal counts lie by id
  int64_t at = 0;
  for (int64_t t = 0; t < row.n_tokens; at += row.count[t++])
    for (int64_t a = at; a < at + row.count[t]; a++)
      for (int64_t b = a + 1; b < at + row.count[t]; b++)
        if (row.logp[a] == row.logp[b] && row.ids[a] > row.ids[b]) {
          const uint32_t id = row.ids[a];
          row.ids[a] = row.ids[b];
          row.ids[b] = id;
        }
  return row;
}

bool same_shape(const rt_logits_row *a, const rt_logits_row *b)
{
  const size_t T = (size_t)a->n_tokens, n = (size_t)a->n_entries;
  return a->n_tokens == b->n_tokens && a->n_entries == b->n_entries &&
         a->step == b->step && memcmp(a->tok, b->tok, 4 * (T + 1)) == 0 &&
         memcmp(a->count, b->count, 4 * T) == 0 &&
         memcmp(a->ids, b->ids, 4 * n) == 0;
}
