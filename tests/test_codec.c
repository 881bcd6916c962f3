/** \file test_codec.c
 *  Records of teacher logits: what is encoded comes back, what is damaged does
 *  not crash.  ranks: 1 */
#include "rt_test.h"

#include "base/rng.h"
#include "io/codec.h"
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
  RT_OKAY(rt_logits_row_optional(&row, spec->entropy, spec->deviation));
  RT_OKAY(rt_logits_row_entries(&row, T * spec->max_entries));
  row.n_tokens = T;
  row.step = 1000 + i;
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
  rt_logits_row_clear(&got);
  rt_bytes_clear(&bytes);
  rt_codec_destroy(&codec);
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
  RT_FAILS(rt_codec_encode(codec, &row, &bytes), RT_ERR_DATA, "falling");
  row.logp[1] = row.logp[0] = -0.01F;
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

RT_TEST_MAIN("codec", {"exact rows come back", test_exact},
             {"impossible rows are refused", test_refuses},
             {"impossible datasets are refused", test_spec})
