/** \file test_codec_together.c
 *  Records decoded side by side are what each one is alone.  ranks: 1 */
#include "support/codec_rows.h"

#include "base/rng.h"
#include <stdlib.h>
#include <string.h>

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
      sample[i] = x->spec.n_draws > 0 ? codec_draws(&x->spec, i)
                                      : codec_row(&x->spec, i);
    RT_OKAY(rt_codec_learn(&x->spec, sample, n, &x->codec[s]));
    for (int i = 0; i < n; i++)
      rt_logits_row_clear(&sample[i]);
  }
  for (int64_t i = 0; i < MANY; i++) {
    rt_logits_row row = x->spec.n_draws > 0 ? codec_draws(&x->spec, 3 * i)
                                            : codec_row(&x->spec, 3 * i);
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

RT_TEST_MAIN("codec_together", {"several records at once", test_several},
             {"several, of which one is cut", test_several_cut})
