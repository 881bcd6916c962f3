/** \file fuzz_codec.c
 *  Tables and records of logits from arbitrary bytes, for libFuzzer: refused,
 *  or a row that keeps every rule and comes back when it is encoded anew. `make
 *  fuzz` builds and runs it; `make fuzz-seeds` makes what it starts from. */
#include "support/codec_case.h"
#include "support/must.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static bool same(const void *a, const void *b, int64_t n_words)
{
  return n_words == 0 || memcmp(a, b, 4 * (size_t)n_words) == 0;
}

/** Encoding rounds only once; but `packed` takes a kept label's log-prob from
 *  the entries, and a foreign record may say another. */
static void check_again(const rt_codec_spec *spec, const rt_codec *codec,
                        const rt_logits_row *row)
{
  rt_bytes bytes = {0};
  rt_logits_row again = {0};
  must(rt_codec_encode(codec, row, &bytes) == RT_OK, "a row is not encoded");
  must(rt_codec_decode(codec, bytes.data, bytes.n, "again", &again) == RT_OK,
       "what was encoded is not decoded");
  const int64_t T = row->n_tokens, n = row->n_entries;
  must(again.n_tokens == T && again.n_entries == n && again.step == row->step &&
           again.stream_row == row->stream_row &&
           same(row->tok, again.tok, T + 1) &&
           same(row->count, again.count, T) && same(row->ids, again.ids, n) &&
           same(row->logp, again.logp, n) &&
           (spec->kind == RT_CODEC_PACKED ||
            same(row->label_logp, again.label_logp, T)),
       "another row comes back");
  rt_logits_row_clear(&again);
  rt_bytes_clear(&bytes);
}

/** Decoded side by side, records are what each is alone: \a row, or refused. */
static void check_together(const rt_codec *codec, const uint8_t *record,
                           size_t n, const rt_logits_row *row)
{
  enum { N = 3 };
  rt_logits_row all[N] = {{0}, {0}, {0}};
  rt_codec_record records[N];
  for (int i = 0; i < N; i++)
    records[i] = (rt_codec_record){codec, record, n, "together", &all[i]};
  must((rt_codec_decode_all(records, N) == RT_OK) == (row != NULL),
       "only some decoders refuse a record");
  for (int i = 0; i < N; i++) {
    must(row == NULL ||
             (all[i].n_tokens == row->n_tokens &&
              all[i].n_entries == row->n_entries &&
              same(row->tok, all[i].tok, row->n_tokens + 1) &&
              same(row->ids, all[i].ids, row->n_entries) &&
              same(row->logp, all[i].logp, row->n_entries) &&
              same(row->label_logp, all[i].label_logp, row->n_tokens)),
         "a record becomes another row beside others");
    rt_logits_row_clear(&all[i]);
  }
}

static void check_record(const rt_codec_spec *spec, const rt_codec *codec,
                         const uint8_t *record, size_t n)
{
  rt_logits_row row = {0};
  const bool good = rt_codec_decode(codec, record, n, "record", &row) == RT_OK;
  check_together(codec, record, n, good ? &row : NULL);
  if (good) {
    must(rt_codec_check_row(spec, "row", &row) == RT_OK, "a bad row is taken");
    check_again(spec, codec, &row);
  }
  rt_logits_row_clear(&row);
}

/** Tables that are accepted must be stored as bytes that are accepted. */
static void check_tables(const rt_codec_spec *spec, const rt_codec *codec)
{
  rt_bytes tables = {0};
  rt_codec *loaded = NULL;
  must(rt_codec_store(codec, &tables) == RT_OK, "tables are not stored");
  must(rt_codec_load(spec, tables.data, tables.n, "tables", &loaded) == RT_OK,
       "stored tables are not loaded");
  rt_codec_destroy(&loaded);
  rt_bytes_clear(&tables);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
  if (n < CASE_HEAD)
    return 0;
  const rt_codec_spec spec = case_spec(data[0], data[1]);
  size_t n_tables = (size_t)data[2] | (size_t)data[3] << 8;
  data += CASE_HEAD;
  n -= CASE_HEAD;
  n_tables = n_tables < n ? n_tables : n;
  rt_codec *codec = NULL;
  const rt_err err = data[-CASE_HEAD] & CASE_BLANK
                         ? rt_codec_learn(&spec, NULL, 0, &codec)
                         : rt_codec_load(&spec, data, n_tables, "t", &codec);
  if (err == RT_OK) {
    check_tables(&spec, codec);
    check_record(&spec, codec, data + n_tables, n - n_tables);
    rt_codec_destroy(&codec);
  }
  must(codec == NULL, "tables stay after an error");
  return 0;
}
