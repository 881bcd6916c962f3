/** \file test_codec.c
 *  Records of teacher logits: what is encoded comes back, what is damaged does
 *  not crash.  ranks: 1 */
#include "support/rt_test.h"

#include "base/rng.h"
#include "io/codec/codec.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

static const rt_codec_spec exact = {.kind = RT_CODEC_EXACT,
                                    .vocab = 70000,
                                    .max_tokens = 40,
                                    .max_entries = 30,
                                    .entropy = true,
                                    .deviation = true,
                                    .step = true};

/** Row \a i: T and the numbers of entries vary, some are none. */
static rt_logits_row make_row(const rt_codec_spec *spec, int64_t i)
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

/** Equal in all but floats of a lossy encoding, which the callers compare. */
static bool same_shape(const rt_logits_row *a, const rt_logits_row *b)
{
  const size_t T = (size_t)a->n_tokens, n = (size_t)a->n_entries;
  return a->n_tokens == b->n_tokens && a->n_entries == b->n_entries &&
         a->step == b->step && memcmp(a->tok, b->tok, 4 * (T + 1)) == 0 &&
         memcmp(a->count, b->count, 4 * T) == 0 &&
         memcmp(a->ids, b->ids, 4 * n) == 0;
}

static void test_exact(void)
{
  rt_codec *codec;
  rt_bytes bytes = {0};
  rt_logits_row got = {0};
  RT_OKAY(rt_codec_learn(&exact, NULL, 0, &codec));
  for (int64_t i = 0; i < 5; i++) {
    rt_logits_row row = make_row(&exact, i);
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
  rt_logits_row row = make_row(&exact, 0);
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
  rt_logits_row sample[3] = {make_row(&spec, 0), make_row(&spec, 1),
                             make_row(&spec, 2)};
  rt_codec *learnt, *loaded, *blank;
  RT_OKAY(rt_codec_learn(&spec, sample, 3, &learnt));
  RT_OKAY(rt_codec_learn(&spec, NULL, 0, &blank));
  RT_OKAY(rt_codec_store(learnt, &tables));
  RT_OKAY(rt_codec_load(&spec, tables.data, tables.n, "tables", &loaded));
  for (int64_t i = 0; i < 9; i++) {
    rt_logits_row row = make_row(&spec, i);
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

/** A row of draws: counts that add up to N. */
static rt_logits_row make_draws(const rt_codec_spec *spec, int64_t i)
{
  rt_logits_row row = make_row(spec, i);
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

static void test_sampled(void)
{
  rt_codec_spec spec = exact;
  spec.kind = RT_CODEC_SAMPLED;
  spec.n_draws = 50;
  rt_bytes bytes = {0};
  rt_logits_row got = {0}, row = make_draws(&spec, 1);
  rt_codec *codec;
  RT_OKAY(rt_codec_learn(&spec, &row, 1, &codec));
  for (int64_t i = 0; i < 4; i++) {
    rt_logits_row_clear(&row);
    row = make_draws(&spec, i);
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
        spec.n_draws > 0 ? make_draws(&spec, 1) : make_row(&spec, 1);
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
  rt_logits_row got = {0}, row = make_row(&spec, 4);
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

enum { MANY = RT_CODEC_AT_ONCE, SHARDS = 3 };

/** Records of different shards, some of ids that their tables do not know. */
typedef struct several {
  rt_codec_spec spec;
  rt_codec *codec[SHARDS];
  rt_bytes bytes[MANY];
  rt_logits_row one[MANY], all[MANY];
} several;

static rt_codec_spec spec_of_many(int kind)
{
  static const struct {
    rt_codec_kind kind;
    uint64_t vocab;
    int64_t max_entries, n_draws;
  } kinds[] = {{RT_CODEC_PACKED, 300, 250, 0},  // all ids are known
               {RT_CODEC_PACKED, 70000, 30, 0}, // hardly any
               {RT_CODEC_PACKED, 3000000, 100, 0},
               {RT_CODEC_PACKED, 101, 100, 0},
               {RT_CODEC_SAMPLED, 500, 30, 50}};
  rt_codec_spec spec = exact;
  spec.kind = kinds[kind].kind;
  spec.vocab = kinds[kind].vocab;
  spec.max_entries = kinds[kind].max_entries;
  spec.n_draws = kinds[kind].n_draws;
  return spec;
}

static void begin_several(int kind, several *x)
{
  *x = (several){.spec = spec_of_many(kind)};
  for (int s = 0; s < SHARDS; s++) {
    rt_logits_row sample[40];
    const int n = s == 0 ? 1 : s == 1 ? 10 : 40;
    for (int i = 0; i < n; i++)
      sample[i] =
          x->spec.n_draws > 0 ? make_draws(&x->spec, i) : make_row(&x->spec, i);
    RT_OKAY(rt_codec_learn(&x->spec, sample, n, &x->codec[s]));
    for (int i = 0; i < n; i++)
      rt_logits_row_clear(&sample[i]);
  }
  for (int64_t i = 0; i < MANY; i++) {
    rt_logits_row row = x->spec.n_draws > 0 ? make_draws(&x->spec, 3 * i)
                                            : make_row(&x->spec, 3 * i);
    RT_OKAY(rt_codec_encode(x->codec[i % SHARDS], &row, &x->bytes[i]));
    rt_logits_row_clear(&row);
  }
}

static void end_several(several *x)
{
  for (int s = 0; s < SHARDS; s++)
    rt_codec_destroy(&x->codec[s]);
  for (int i = 0; i < MANY; i++) {
    rt_bytes_clear(&x->bytes[i]);
    rt_logits_row_clear(&x->one[i]);
    rt_logits_row_clear(&x->all[i]);
  }
}

/** Decode the first \a n records one by one and together: the same rows, or
 *  both fail.  \return the outcome */
static rt_err decode_twice(several *x, int n)
{
  rt_codec_record records[MANY] = {0};
  rt_err one = RT_OK;
  for (int i = 0; i < n; i++) {
    const rt_codec *const codec = x->codec[i % SHARDS];
    const rt_bytes *const b = &x->bytes[i];
    records[i] = (rt_codec_record){codec, b->data, b->n, "r", &x->all[i]};
    const rt_err err = rt_codec_decode(codec, b->data, b->n, "r", &x->one[i]);
    one = one == RT_OK ? err : one;
  }
  const rt_err all = rt_codec_decode_all(records, n);
  CU_ASSERT_EQUAL(all == RT_OK, one == RT_OK);
  for (int i = 0; i < n && one == RT_OK; i++) {
    const rt_logits_row *const a = &x->one[i], *const b = &x->all[i];
    const size_t T = 4 * (size_t)a->n_tokens;
    CU_ASSERT_FATAL(same_shape(a, b));
    CU_ASSERT(memcmp(a->logp, b->logp, 4 * (size_t)a->n_entries) == 0);
    CU_ASSERT(memcmp(a->lse, b->lse, T) == 0);
    CU_ASSERT(memcmp(a->label_logp, b->label_logp, T) == 0);
    CU_ASSERT(memcmp(a->entropy, b->entropy, T) == 0);
    CU_ASSERT(memcmp(a->deviation, b->deviation, T) == 0);
  }
  return one;
}

/** Any number of records together, whole or damaged, are what each is alone. */
static void test_several(void)
{
  for (int kind = 0; kind < 5; kind++) {
    static several x;
    int n_bad = 0;
    begin_several(kind, &x);
    for (int n = 0; n <= MANY; n++)
      CU_ASSERT_EQUAL(decode_twice(&x, n), RT_OK);
    for (uint32_t i = 0; i < 200; i++) {
      uint32_t r[4];
      rt_rng_bits(13, RT_RNG_TEST, (uint64_t)kind, i, r);
      const int n = 3 + (int)(r[0] % (MANY - 2));
      rt_bytes *const b = &x.bytes[r[3] % (uint32_t)n];
      unsigned char *const at = &b->data[r[1] % b->n];
      const unsigned char was = *at;
      *at ^= (unsigned char)(1U << r[2] % 8);
      n_bad += decode_twice(&x, n) != RT_OK;
      *at = was;
    }
    CU_ASSERT(n_bad > 100);
    end_several(&x);
  }
}

/** A record that ends anywhere: nothing beyond its end is read. */
static void test_several_cut(void)
{
  static several x;
  begin_several(3, &x);
  const rt_bytes whole = x.bytes[4];
  for (size_t n = 0; n < whole.n; n += 7) {
    unsigned char *const cut = malloc(n + 1);
    memcpy(cut, whole.data, n);
    x.bytes[4] = (rt_bytes){.data = cut, .n = n};
    CU_ASSERT_EQUAL(decode_twice(&x, 5), RT_ERR_DATA);
    free(cut);
  }
  x.bytes[4] = whole;
  end_several(&x);
}

/** What no record can hold is refused when it is encoded. */
static void test_refuses(void)
{
  rt_codec *codec;
  rt_bytes bytes = {0};
  rt_logits_row row = make_row(&exact, 0);
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
  rt_logits_row row = make_row(&exact, 6), whole = make_row(&exact, 6);
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
             {"several records at once", test_several},
             {"several, of which one is cut", test_several_cut},
             {"impossible rows are refused", test_refuses},
             {"impossible datasets are refused", test_spec},
             {"narrow a vocabulary", test_narrow})
