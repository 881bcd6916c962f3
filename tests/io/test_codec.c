/** \file test_codec.c
 *  Records of teacher logits: what is encoded comes back, what is damaged does
 *  not crash.  ranks: 1 */
#include "support/codec_rows.h"

#include "base/rng.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

static void test_exact(void)
{
  rt_codec *codec;
  rt_bytes bytes = {0};
  rt_logits_row got = {0};
  RT_OKAY(rt_codec_learn(&exact, NULL, 0, &codec));
  for (int64_t i = 0; i < 5; i++) {
    rt_logits_row row = codec_row(&exact, i);
    const size_t T = (size_t)row.n_tokens;
    bytes.n = 0;
    RT_OKAY(rt_codec_encode(codec, &row, &bytes));
    RT_OKAY(rt_codec_decode(codec, bytes.data, bytes.n, "record", &got));
    CU_ASSERT(same_shape(&row, &got));
    CU_ASSERT(memcmp(row.logp, got.logp, 4 * (size_t)row.n_entries) == 0);
    CU_ASSERT(memcmp(row.lse, got.lse, 4 * T) == 0);
    CU_ASSERT(memcmp(row.label_logp, got.label_logp, 4 * T) == 0);
    CU_ASSERT(memcmp(row.entropy, got.entropy, 4 * T) == 0);
    CU_ASSERT(memcmp(row.deviation, got.deviation, 4 * T) == 0);
    rt_logits_row_clear(&row);
  }
  RT_FAILS(rt_codec_decode(codec, bytes.data, bytes.n - 1, "record", &got),
           RT_ERR_DATA, "record: ");
  // more than a record can count: refused before any entry is looked at
  rt_logits_row row = codec_row(&exact, 0);
  row.n_entries = INT64_C(1) << 32;
  RT_FAILS(rt_codec_encode(codec, &row, &bytes), RT_ERR_DATA,
           "4294967296 entries, expected fewer than 2^32");
  rt_logits_row_clear(&row);
  rt_logits_row_clear(&got);
  rt_bytes_clear(&bytes);
  rt_codec_destroy(&codec);
}

static rt_codec_spec packed_spec(void)
{
  rt_codec_spec spec = exact;
  spec.kind = RT_CODEC_PACKED;
  return spec;
}

/** Largest error of a log-prob that doc/formats.md states for `packed`. */
static double most_error(float logp)
{
  static const double from[] = {13.0, 9.0, 3.0, 1.0};
  double error = 1.0 / 8;
  for (int i = 0; i < 4 && -logp < from[i]; i++)
    error /= 2;
  return error;
}

/** Log-probs within the bound that is stated for them, the same ids, sorted. */
static void compare_packed(const rt_codec_spec *spec, const rt_logits_row *row,
                           const rt_logits_row *got)
{
  int64_t at = 0;
  CU_ASSERT_FATAL(row->n_tokens == got->n_tokens &&
                  row->n_entries == got->n_entries);
  CU_ASSERT_EQUAL(row->step, got->step);
  CU_ASSERT_EQUAL(row->stream_row, got->stream_row);
  CU_ASSERT(memcmp(row->tok, got->tok, 4 * (size_t)row->n_tokens + 4) == 0);
  for (int64_t t = 0; t < row->n_tokens; t++) {
    CU_ASSERT_EQUAL_FATAL(row->count[t], got->count[t]);
    CU_ASSERT_DOUBLE_EQUAL(row->lse[t], got->lse[t], 1.0 / 64);
    CU_ASSERT_DOUBLE_EQUAL(row->entropy[t], got->entropy[t], 1.0 / 128);
    CU_ASSERT_DOUBLE_EQUAL(row->deviation[t], got->deviation[t], 1.0 / 128);
    bool kept = false;
    for (uint32_t i = 0; i < row->count[t]; i++) {
      uint32_t k = 0;
      while (k < row->count[t] && got->ids[at + k] != row->ids[at + i])
        k++;
      CU_ASSERT_FATAL(k < row->count[t]);
      const float logp = row->logp[at + i];
      CU_ASSERT_DOUBLE_EQUAL(got->logp[at + k], logp, most_error(logp) * 1.001);
      kept = kept || row->ids[at + i] == row->tok[t + 1];
    }
    if (!kept)
      CU_ASSERT_DOUBLE_EQUAL(got->label_logp[t], row->label_logp[t],
                             most_error(row->label_logp[t]) * 1.001);
    at += row->count[t];
  }
  RT_OKAY(rt_codec_check_row(spec, "got", got));
}

/** Tables learnt from one row serve others, stored and loaded too; what is
 *  decoded does not depend on them. */
static void test_packed(void)
{
  const rt_codec_spec spec = packed_spec();
  rt_bytes tables = {0}, bytes = {0};
  rt_logits_row got = {0}, again = {0};
  rt_logits_row sample[3] = {codec_row(&spec, 0), codec_row(&spec, 1),
                             codec_row(&spec, 2)};
  rt_codec *learnt, *loaded, *blank;
  RT_OKAY(rt_codec_learn(&spec, sample, 3, &learnt));
  RT_OKAY(rt_codec_learn(&spec, NULL, 0, &blank));
  RT_OKAY(rt_codec_store(learnt, &tables));
  RT_OKAY(rt_codec_load(&spec, tables.data, tables.n, "tables", &loaded));
  for (int64_t i = 0; i < 9; i++) {
    rt_logits_row row = codec_row(&spec, i);
    bytes.n = 0;
    RT_OKAY(rt_codec_encode(learnt, &row, &bytes));
    const size_t n = bytes.n;
    RT_OKAY(rt_codec_decode(loaded, bytes.data, n, "record", &got));
    compare_packed(&spec, &row, &got);
    RT_OKAY(rt_codec_encode(blank, &row, &bytes));
    RT_OKAY(rt_codec_decode(blank, bytes.data + n, bytes.n - n, "r", &again));
    CU_ASSERT(same_shape(&got, &again));
    CU_ASSERT(memcmp(got.logp, again.logp, 4 * (size_t)got.n_entries) == 0);
    rt_logits_row_clear(&row);
  }
  for (int i = 0; i < 3; i++)
    rt_logits_row_clear(&sample[i]);
  rt_logits_row_clear(&got);
  rt_logits_row_clear(&again);
  rt_bytes_clear(&bytes);
  rt_bytes_clear(&tables);
  rt_codec_destroy(&learnt);
  rt_codec_destroy(&loaded);
  rt_codec_destroy(&blank);
}

/** Tokens whose log-probs are all equal: levels round all of them up, or all
 *  down, so that their mass is the farthest from 1 that it can be. */
static void test_uniform(void)
{
  for (uint32_t V = 1; V < 30000; V += 1 + V / 7) {
    const rt_codec_spec spec = {
        .kind = RT_CODEC_PACKED, .vocab = V, .max_tokens = 1, .max_entries = V};
    rt_codec *codec;
    rt_bytes bytes = {0};
    rt_logits_row got = {0}, row = {0};
    RT_OKAY(rt_logits_row_tokens(&row, 1));
    RT_OKAY(rt_logits_row_entries(&row, V));
    row.n_tokens = 1;
    row.n_entries = row.count[0] = V;
    row.tok[0] = row.tok[1] = V - 1;
    row.lse[0] = 0.0F;
    row.label_logp[0] = -logf((float)V);
    for (uint32_t i = 0; i < V; i++) {
      row.ids[i] = i;
      row.logp[i] = -logf((float)V);
    }
    RT_OKAY(rt_codec_learn(&spec, &row, 1, &codec));
    RT_OKAY(rt_codec_encode(codec, &row, &bytes));
    RT_OKAY(rt_codec_decode(codec, bytes.data, bytes.n, "record", &got));
    CU_ASSERT(same_shape(&row, &got));
    RT_OKAY(rt_codec_check_row(&spec, "got", &got));
    rt_logits_row_clear(&row);
    rt_logits_row_clear(&got);
    rt_bytes_clear(&bytes);
    rt_codec_destroy(&codec);
  }
}

static void test_sampled(void)
{
  rt_codec_spec spec = exact;
  spec.kind = RT_CODEC_SAMPLED;
  spec.n_draws = 50;
  rt_bytes bytes = {0};
  rt_logits_row got = {0}, row = codec_draws(&spec, 1);
  rt_codec *codec;
  RT_OKAY(rt_codec_learn(&spec, &row, 1, &codec));
  for (int64_t i = 0; i < 4; i++) {
    rt_logits_row_clear(&row);
    row = codec_draws(&spec, i);
    bytes.n = 0;
    RT_OKAY(rt_codec_encode(codec, &row, &bytes));
    RT_OKAY(rt_codec_decode(codec, bytes.data, bytes.n, "record", &got));
    CU_ASSERT(same_shape(&row, &got));
    CU_ASSERT(memcmp(row.logp, got.logp, 4 * (size_t)row.n_entries) == 0);
  }
  row.logp[0] = -3.0F;
  for (uint32_t k = 1; k < row.count[0]; k++)
    row.logp[k] = -3.9F;
  RT_FAILS(rt_codec_encode(codec, &row, &bytes), RT_ERR_DATA, "draws");
  rt_logits_row_clear(&row);
  rt_logits_row_clear(&got);
  rt_bytes_clear(&bytes);
  rt_codec_destroy(&codec);
}

/** The greatest ids that there can be, as entries, tokens and labels. */
static void test_greatest_ids(void)
{
  for (int kind = RT_CODEC_EXACT; kind <= RT_CODEC_SAMPLED; kind++) {
    rt_codec_spec spec = exact;
    spec.kind = (rt_codec_kind)kind;
    spec.vocab = (uint64_t)1 << 32;
    spec.n_draws = kind == RT_CODEC_SAMPLED ? 50 : 0;
    rt_bytes tables = {0}, bytes = {0};
    rt_logits_row got = {0};
    rt_logits_row row =
        spec.n_draws > 0 ? codec_draws(&spec, 1) : codec_row(&spec, 1);
    CU_ASSERT_FATAL(row.count[0] >= 2);
    row.ids[0] = UINT32_MAX - 1;
    row.ids[1] = UINT32_MAX;
    row.tok[0] = row.tok[1] = UINT32_MAX;
    row.tok[2] = UINT32_MAX - 1;
    rt_codec *learnt, *codec;
    RT_OKAY(rt_codec_learn(&spec, &row, 1, &learnt));
    RT_OKAY(rt_codec_store(learnt, &tables));
    RT_OKAY(rt_codec_load(&spec, tables.data, tables.n, "tables", &codec));
    RT_OKAY(rt_codec_encode(learnt, &row, &bytes));
    RT_OKAY(rt_codec_decode(codec, bytes.data, bytes.n, "record", &got));
    if (kind == RT_CODEC_PACKED)
      compare_packed(&spec, &row, &got);
    else
      CU_ASSERT(same_shape(&row, &got));
    rt_logits_row_clear(&row);
    rt_logits_row_clear(&got);
    rt_bytes_clear(&bytes);
    rt_bytes_clear(&tables);
    rt_codec_destroy(&learnt);
    rt_codec_destroy(&codec);
  }
}

/** Flipped, cut and random bytes: refused, or a row that keeps every rule. */
static void test_damaged(void)
{
  const rt_codec_spec spec = packed_spec();
  rt_bytes tables = {0}, bytes = {0};
  rt_logits_row got = {0}, row = codec_row(&spec, 4);
  rt_codec *codec, *other;
  int n_taken = 0;
  RT_OKAY(rt_codec_learn(&spec, &row, 1, &codec));
  RT_OKAY(rt_codec_store(codec, &tables));
  RT_OKAY(rt_codec_encode(codec, &row, &bytes));
  for (uint32_t i = 0; i < 4000; i++) {
    uint32_t x[4];
    rt_rng_bits(9, RT_RNG_TEST, 0, i, x);
    unsigned char *const at = &bytes.data[x[0] % bytes.n];
    const unsigned char was = *at;
    *at ^= (unsigned char)(1U << x[1] % 8);
    if (rt_codec_decode(codec, bytes.data, bytes.n, "r", &got) == RT_OK) {
      n_taken++;
      RT_OKAY(rt_codec_check_row(&spec, "taken", &got));
    }
    *at = was;
  }
  CU_ASSERT(n_taken < 4000);
  for (size_t n = 0; n < bytes.n; n++)
    RT_FAILS(rt_codec_decode(codec, bytes.data, n, "record", &got), RT_ERR_DATA,
             "record");
  for (uint32_t i = 0; i < 4000; i++) {
    uint32_t x[4];
    rt_rng_bits(9, RT_RNG_TEST, 1, i, x);
    unsigned char *const at = &tables.data[x[0] % tables.n];
    const unsigned char was = *at;
    *at ^= (unsigned char)(1U << x[1] % 8);
    if (rt_codec_load(&spec, tables.data, tables.n, "t", &other) == RT_OK) {
      if (rt_codec_decode(other, bytes.data, bytes.n, "r", &got) == RT_OK)
        RT_OKAY(rt_codec_check_row(&spec, "taken", &got));
      rt_codec_destroy(&other);
    }
    *at = was;
  }
  for (size_t n = 0; n < tables.n; n++)
    RT_FAILS(rt_codec_load(&spec, tables.data, n, "tables", &other),
             RT_ERR_DATA, "tables");
  rt_logits_row_clear(&row);
  rt_logits_row_clear(&got);
  rt_bytes_clear(&bytes);
  rt_bytes_clear(&tables);
  rt_codec_destroy(&codec);
}

/** What no record can hold is refused when it is encoded. */
static void test_refuses(void)
{
  rt_codec *codec;
  rt_bytes bytes = {0};
  rt_logits_row row = codec_row(&exact, 0);
  RT_OKAY(rt_codec_learn(&exact, NULL, 0, &codec));
  uint32_t *const id = row.ids, kept = id[1];
  CU_ASSERT_FATAL(row.count[0] >= 2);
  id[1] = id[0];
  RT_FAILS(rt_codec_encode(codec, &row, &bytes), RT_ERR_DATA, "only once");
  id[1] = 70000;
  RT_FAILS(rt_codec_encode(codec, &row, &bytes), RT_ERR_DATA, "less than");
  id[1] = kept;
  row.logp[1] = row.logp[0] + 1e-3F;
  RT_FAILS(rt_codec_encode(codec, &row, &bytes), RT_ERR_DATA, "descending");
  for (uint32_t i = 0; i < row.count[0]; i++) {
    id[i] = i;
    row.logp[i] = i < 2 ? logf(0.4F) : -40.0F;
  }
  RT_OKAY(rt_codec_encode(codec, &row, &bytes));
  id[0] = 1;
  id[1] = 0;
  RT_FAILS(rt_codec_encode(codec, &row, &bytes), RT_ERR_DATA, "ids ascending");
  id[0] = 0;
  id[1] = 1;
  row.logp[1] = row.logp[0] = logf(0.51F);
  RT_FAILS(rt_codec_encode(codec, &row, &bytes), RT_ERR_DATA, "mass");
  row.stored = true; // 1.02 may be what rounding made of 1
  RT_OKAY(rt_codec_encode(codec, &row, &bytes));
  row.logp[1] = row.logp[0] = logf(0.58F);
  RT_FAILS(rt_codec_encode(codec, &row, &bytes), RT_ERR_DATA, "mass");
  rt_logits_row_clear(&row);
  rt_bytes_clear(&bytes);
  rt_codec_destroy(&codec);
}

static void test_spec(void)
{
  rt_codec *codec;
  rt_codec_kind kind;
  rt_codec_spec spec = exact;
  RT_OKAY(rt_codec_kind_parse("sampled", &kind));
  CU_ASSERT_EQUAL(kind, RT_CODEC_SAMPLED);
  RT_FAILS(rt_codec_kind_parse("zip", &kind), RT_ERR_CONFIG, "zip");
  spec.vocab = ((uint64_t)1 << 32) + 1;
  RT_FAILS(rt_codec_load(&spec, NULL, 0, "f", &codec), RT_ERR_DATA, "2^32");
  spec.vocab = 8;
  RT_FAILS(rt_codec_load(&spec, NULL, 0, "f", &codec), RT_ERR_DATA, "entries");
  spec.max_entries = 8;
  spec.n_draws = 1;
  RT_FAILS(rt_codec_load(&spec, NULL, 0, "f", &codec), RT_ERR_DATA, "draws");
}

/** Tokens [2, 5) of a row are what is left of it. */
static void test_cut(void)
{
  rt_logits_row row = codec_row(&exact, 6), whole = codec_row(&exact, 6);
  const int64_t before = whole.count[0] + whole.count[1];
  rt_logits_row_cut(&row, 2, 3);
  CU_ASSERT_EQUAL(row.n_tokens, 3);
  CU_ASSERT_EQUAL(row.n_entries,
                  whole.count[2] + whole.count[3] + whole.count[4]);
  const size_t n = 4 * (size_t)row.n_entries;
  CU_ASSERT(n > 0);
  CU_ASSERT_EQUAL(memcmp(row.tok, whole.tok + 2, 16), 0);
  CU_ASSERT_EQUAL(memcmp(row.count, whole.count + 2, 12), 0);
  for (int t = 0; t < 3; t++) {
    CU_ASSERT_EQUAL(row.lse[t], whole.lse[t + 2]);
    CU_ASSERT_EQUAL(row.label_logp[t], whole.label_logp[t + 2]);
    CU_ASSERT_EQUAL(row.entropy[t], whole.entropy[t + 2]);
    CU_ASSERT_EQUAL(row.deviation[t], whole.deviation[t + 2]);
  }
  CU_ASSERT_EQUAL(memcmp(row.ids, whole.ids + before, n), 0);
  for (int64_t i = 0; i < row.n_entries; i++)
    CU_ASSERT_EQUAL(row.logp[i], whole.logp[before + i]);
  rt_logits_row_clear(&row);
  rt_logits_row_clear(&whole);
}

/** Entries, log-sum-exp and entropy of the softmax of \a z [\a n], most
 *  probable first, as token \a t. */
static void put_softmax(rt_logits_row *row, int64_t t, const double *z,
                        int64_t n)
{
  double sum = 0.0, entropy = 0.0;
  for (int64_t i = 0; i < n; i++)
    sum += exp(z[i]);
  row->lse[t] = (float)log(sum);
  row->count[t] = (uint32_t)n;
  bool taken[8] = {false};
  for (int64_t k = 0; k < n; k++) {
    int64_t best = -1;
    for (int64_t i = 0; i < n; i++)
      if (!taken[i] && (best < 0 || z[i] > z[best]))
        best = i;
    taken[best] = true;
    row->ids[row->n_entries] = (uint32_t)best;
    row->logp[row->n_entries++] = (float)(z[best] - log(sum));
    entropy -= exp(z[best]) / sum * (z[best] - log(sum));
  }
  row->entropy[t] = (float)entropy;
  row->label_logp[t] = (float)(z[row->tok[t + 1]] - log(sum));
}

/** Without the padding a row is what a softmax without it gives. */
static void test_narrow(void)
{
  enum { WIDE = 6, V = 4 };
  static const double z[2][WIDE] = {{0.5, 2.0, -1.0, 0.0, 1.0, 3.0},
                                    {1.0, 0.0, 2.0, -3.0, -20.0, -30.0}};
  rt_logits_row row[2] = {{0}, {0}};
  for (int w = 0; w < 2; w++) {
    RT_OKAY(rt_logits_row_tokens(&row[w], 2));
    RT_OKAY(
        rt_logits_row_optional(&row[w], (rt_logits_optional){.entropy = true}));
    RT_OKAY(rt_logits_row_entries(&row[w], 2 * WIDE));
    row[w].n_tokens = 2;
    memcpy(row[w].tok, (uint32_t[]){0, 3, 1}, 12);
    for (int t = 0; t < 2; t++)
      put_softmax(&row[w], t, z[t], w == 0 ? WIDE : V);
  }
  RT_OKAY(rt_logits_row_narrow(&row[0], V));
  CU_ASSERT_EQUAL(row[0].n_entries, row[1].n_entries);
  for (int t = 0; t < 2; t++) {
    CU_ASSERT_EQUAL(row[0].count[t], V);
    CU_ASSERT_DOUBLE_EQUAL(row[0].lse[t], row[1].lse[t], 1e-5);
    CU_ASSERT_DOUBLE_EQUAL(row[0].label_logp[t], row[1].label_logp[t], 1e-5);
    CU_ASSERT_DOUBLE_EQUAL(row[0].entropy[t], row[1].entropy[t], 1e-5);
  }
  for (int64_t i = 0; i < row[1].n_entries; i++) {
    CU_ASSERT_EQUAL(row[0].ids[i], row[1].ids[i]);
    CU_ASSERT_DOUBLE_EQUAL(row[0].logp[i], row[1].logp[i], 1e-5);
  }
  RT_FAILS(rt_logits_row_narrow(&row[0], 3), RT_ERR_DATA,
           "is 3, but data.vocab");
  // a token of padding only keeps nothing
  row[0].tok[1] = 0;
  RT_OKAY(rt_logits_row_narrow(&row[0], 2));
  row[0].ids[0] = 1, row[0].ids[1] = 1;
  row[0].count[0] = 2, row[0].count[1] = 0, row[0].n_entries = 2;
  row[0].tok[2] = 0;
  RT_OKAY(rt_logits_row_narrow(&row[0], 1));
  CU_ASSERT(row[0].count[0] == 0 && row[0].n_entries == 0);
  rt_logits_row_clear(&row[0]);
  rt_logits_row_clear(&row[1]);
}

RT_TEST_MAIN("codec", {"exact rows come back", test_exact},
             {"packed rows come back nearly", test_packed},
             {"uniform tokens come back", test_uniform},
             {"draws come back", test_sampled},
             {"ids up to 2^32 - 1 come back", test_greatest_ids},
             {"a row is cut", test_cut}, {"damaged bytes", test_damaged},
             {"impossible rows are refused", test_refuses},
             {"impossible datasets are refused", test_spec},
             {"narrow a vocabulary", test_narrow})
