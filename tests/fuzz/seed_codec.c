/** \file seed_codec.c
 *  Writes the initial corpus of fuzz_codec.c to the given folder: small rows of
 *  every kind and vocabulary, with tables built from them and with empty ones.
 */
#include "support/codec_case.h"

#include "base/rng.h"
#include <math.h>
#include <stdio.h>

/** Row of 6 tokens: falling entries, or draws whose counts add up to N. */
static rt_err make_row(const rt_codec_spec *spec, rt_logits_row *row)
{
  const int64_t T = 6;
  RT_TRY(rt_logits_row_tokens(row, T));
  RT_TRY(rt_logits_row_optional(
      row, (rt_logits_optional){.entropy = spec->entropy,
                                .deviation = spec->deviation}));
  RT_TRY(rt_logits_row_entries(row, T * spec->max_entries));
  row->n_tokens = T;
  row->step = spec->step ? 12345 : 0;
  row->stream_row = spec->step ? 678 : 0;
  for (int64_t t = 0; t <= T; t++) {
    uint32_t x[4];
    rt_rng_bits(11, RT_RNG_TEST, spec->vocab, (uint64_t)t, x);
    row->tok[t] = (uint32_t)(x[0] % spec->vocab);
    if (t == T)
      break;
    const uint32_t most = (uint32_t)spec->max_entries;
    const bool sampled = spec->kind == RT_CODEC_SAMPLED;
    row->count[t] = sampled ? 1 + (most > 1) : x[1] % (most + 1) % 40;
    row->lse[t] = (float)(x[2] % 4096) / 64.0F;
    row->label_logp[t] = -(float)(x[3] % 4096) / 256.0F;
    if (spec->entropy)
      row->entropy[t] = (float)(x[3] % 640) / 64.0F;
    if (spec->deviation)
      row->deviation[t] = (float)(x[2] % 640) / 64.0F;
    for (uint32_t k = 0; k < row->count[t]; k++) {
      const float share = row->count[t] == 1 ? 1.0F : k == 0 ? 0.8F : 0.2F;
      row->ids[row->n_entries] =
          (uint32_t)((x[0] + (uint64_t)k * k * 7) % spec->vocab);
      if (k > 0 && spec->vocab <= 300) // where squares would meet again
        row->ids[row->n_entries] =
            (uint32_t)((row->ids[row->n_entries - 1] + 1) % spec->vocab);
      row->logp[row->n_entries++] =
          sampled ? logf(share) : -1.0F - 0.5F * (float)k;
    }
  }
  return RT_OK;
}

static rt_err write_case(const char *folder, unsigned flags, unsigned i_vocab)
{
  const rt_codec_spec spec = case_spec(flags, i_vocab);
  rt_logits_row row = {0};
  rt_codec *codec = NULL;
  rt_bytes tables = {0}, record = {0};
  RT_TRY(make_row(&spec, &row));
  const bool blank = flags & CASE_BLANK;
  RT_TRY(rt_codec_learn(&spec, blank ? NULL : &row, !blank, &codec));
  if (!blank)
    RT_TRY(rt_codec_store(codec, &tables));
  RT_TRY(rt_codec_encode(codec, &row, &record));
  char path[4096];
  snprintf(path, sizeof path, "%s/case-%02x-%u", folder, flags, i_vocab);
  FILE *const f = fopen(path, "wb");
  RT_CHECK(f != NULL, RT_ERR_IO, "cannot write %s", path);
  const unsigned char head[CASE_HEAD] = {
      (unsigned char)flags, (unsigned char)i_vocab, (unsigned char)tables.n,
      (unsigned char)(tables.n >> 8)};
  fwrite(head, 1, sizeof head, f);
  fwrite(tables.data, 1, tables.n, f);
  fwrite(record.data, 1, record.n, f);
  RT_CHECK(fclose(f) == 0, RT_ERR_IO, "cannot write %s", path);
  rt_codec_destroy(&codec);
  rt_bytes_clear(&tables);
  rt_bytes_clear(&record);
  rt_logits_row_clear(&row);
  return RT_OK;
}

int main(int argc, char **argv)
{
  rt_err err =
      argc == 2 ? RT_OK : RT_FAIL(RT_ERR_USAGE, "usage: seed_codec FOLDER");
  for (unsigned kind = 0; err == RT_OK && kind < RT_CODEC_N_KINDS; kind++)
    for (unsigned i = 0; err == RT_OK && i < CASE_VOCABS; i++) {
      const unsigned all = CASE_ENTROPY | CASE_DEVIATION | CASE_STEP;
      err = write_case(argv[1], kind | (i % 2 ? all : 0), i);
      if (err == RT_OK && kind != RT_CODEC_EXACT)
        err = write_case(argv[1], kind | CASE_BLANK | (i % 2 ? 0 : all), i);
    }
  if (err != RT_OK)
    fprintf(stderr, "seed_codec: %s\n", rt_err_text());
  return err == RT_OK ? 0 : 1;
}
