/** \file test_rans.c
 *  Models and streams of numbers: round trips, their size, and what is cut.
 *  ranks: 1 */
#include "base/rng.h"
#include "io/codec/rans.h"
#include "support/rt_test.h"

#include <math.h>
#include <string.h>

enum { N = 3000 };

static uint32_t number(uint64_t i, uint32_t below)
{
  uint32_t x[4];
  rt_rng_bits(11, RT_RNG_TEST, 1, i, x);
  return x[0] % below;
}

static unsigned freq_of(const rt_rans_model *m, int symbol)
{
  return rt_rans_freq(m->symbol[symbol]);
}

/** Frequencies fill the scale, each slot is its symbol's, and the escape is
 *  never free. */
static void check_model(const rt_rans_model *m)
{
  uint32_t sum = 0;
  for (int s = 0; s < RT_RANS_SYMBOLS; s++) {
    CU_ASSERT_EQUAL(rt_rans_sum(m->symbol[s]), sum % RT_RANS_SCALE);
    for (uint32_t i = 0; i < freq_of(m, s); i++)
      CU_ASSERT_EQUAL_FATAL(m->slot[sum + i], s);
    sum += freq_of(m, s);
  }
  CU_ASSERT_EQUAL(sum, RT_RANS_SCALE);
  CU_ASSERT(freq_of(m, RT_RANS_ESCAPE) >= RT_RANS_LEAST);
}

/** No symbol, one, 2^k of the same count, all, one of many and few. */
static void make_model(int kind, int bits, rt_rans_model *m)
{
  uint32_t count[RT_RANS_SYMBOLS] = {0};
  for (int s = 0; s < RT_RANS_SYMBOLS; s++)
    if (kind == 1)
      count[s] = s == 7 ? 3 : 0;
    else if (kind >= 2 && kind <= 9)
      count[s] = s < 1 << (kind - 2) ? 5 : 0;
    else if (kind == 10)
      count[s] = s == 0 ? UINT32_MAX : 1;
    else if (kind > 10)
      count[s] = number((uint64_t)(1000 * kind + s), 4) == 0
                     ? number((uint64_t)(999 * kind + s), 1000)
                     : 0;
  rt_rans_learn(count, bits, m);
  for (int s = 0; s < RT_RANS_ESCAPE; s++)
    CU_ASSERT_EQUAL(freq_of(m, s) > 0, count[s] > 0);
}

static void test_models(void)
{
  static rt_rans_model m, again;
  for (int kind = 0; kind < 20; kind++) {
    rt_bytes b = {0};
    size_t at = 0;
    make_model(kind, kind % 8, &m);
    check_model(&m);
    RT_OKAY(rt_rans_store(&m, &b));
    RT_OKAY(rt_rans_load(b.data, b.n, &at, "x", kind % 8, &again));
    CU_ASSERT_EQUAL(at, b.n);
    CU_ASSERT_EQUAL(memcmp(&m, &again, sizeof m), 0);
    for (size_t n = 0; n < b.n; n++) {
      at = 0;
      RT_FAILS(rt_rans_load(b.data, n, &at, "the_tables", 2, &again),
               RT_ERR_DATA, "the_tables: ");
    }
    rt_bytes_clear(&b);
  }
  make_model(1, 2, &m); // all but the escape's share and 0 to 7 is 7's
  CU_ASSERT_EQUAL(freq_of(&m, 7), RT_RANS_SCALE - RT_RANS_LEAST);
  make_model(0, 2, &m);
  CU_ASSERT_EQUAL(freq_of(&m, RT_RANS_ESCAPE), RT_RANS_SCALE);
}

/** Bytes that are no model: too little, too much, no escape, symbol 256. */
static void test_bad_models(void)
{
  static const unsigned char sum_low[] = {0, 254, 8},
                             no_escape[] = {224 + 15, 255, 1, 0, 253},
                             beyond[] = {5, 0, 255},
                             sum_high[] = {255, 255, 0, 253, 8};
  static rt_rans_model m;
  const struct {
    const unsigned char *data;
    size_t n;
    const char *says;
  } bad[] = {{sum_low, 3, "add up to 8, expected 4096"},
             {no_escape, 5, "add up to 4096, expected 4096 with an escape"},
             {beyond, 3, "a model has symbol 256"},
             {sum_high, 5, "add up to"}};
  for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
    size_t at = 0;
    RT_FAILS(rt_rans_load(bad[i].data, bad[i].n, &at, "x", 2, &m), RT_ERR_DATA,
             bad[i].says);
  }
}

/** Every number falls to the symbol below it, its raw bits fill the gap. */
static void test_numbers(void)
{
  for (int m = 0; m < 8; m++) {
    static rt_rans_model model;
    const rt_rans_symbol *const x = model.symbol;
    make_model(11, m, &model);
    for (unsigned s = 0; s < 2U << m && s < RT_RANS_SYMBOLS; s++) {
      CU_ASSERT_EQUAL(rt_rans_first(x[s]), s);
      CU_ASSERT_EQUAL(rt_rans_n_raw(x[s]), 0);
    }
    uint64_t next = 0; // no number is left out, none has two symbols
    int s = 0;
    for (; s < RT_RANS_SYMBOLS && rt_rans_n_raw(x[s]) <= 32; s++) {
      CU_ASSERT_EQUAL(rt_rans_first(x[s]), next);
      CU_ASSERT_EQUAL(x[s] >> RT_RANS_ODD_AT & 1, s == RT_RANS_ESCAPE);
      next = rt_rans_first(x[s]) + (UINT64_C(1) << rt_rans_n_raw(x[s]));
    }
    for (; s < RT_RANS_SYMBOLS; s++)
      CU_ASSERT_EQUAL(x[s] >> RT_RANS_ODD_AT & 1, 1);
    CU_ASSERT(next >= (m <= 2 ? UINT64_C(1) << 31 : 256));
  }
}

/** Number \a i of a stream of \a kind: small, of all sizes, of edges. */
static uint64_t value(int kind, int i, int m)
{
  const uint64_t at = (uint64_t)(kind * 7919 + i);
  if (kind == 0)
    return 7; // always the one symbol of model 1
  if (kind == 1)
    return number(at, 64);
  const int top = m < 4 ? (int)number(at, 20) : (int)number(at, 8);
  const uint64_t power = UINT64_C(1) << top;
  return kind == 2 ? power - 1 + number(at + 1, 3) % 2
                   : power + number(at + 1, (uint32_t)power);
}

static void put_all(int kind, const rt_rans_model *models, int m, int n,
                    rt_bytes *to)
{
  rt_rans_out out = {0};
  for (int i = 0; i < n; i++)
    RT_OKAY(rt_rans_put(&out, models, i % 2, value(kind, i, m), m));
  RT_OKAY(rt_rans_finish(&out, to));
  rt_rans_out_clear(&out);
}

/** Read \a n numbers; how many are wrong, and in *err how the stream ends. */
static int take_all(int kind, const rt_rans_model *models, int m, int n,
                    const rt_bytes *b, rt_err *err)
{
  rt_rans_in in;
  int wrong = 0;
  *err = rt_rans_open(b->data, b->n, "the_row", &in);
  for (int i = 0; i < n && *err == RT_OK; i++)
    wrong += rt_rans_take(&in, &models[i % 2]) != value(kind, i, m);
  if (*err == RT_OK)
    *err = rt_rans_close(&in, "the_row");
  return wrong;
}

/** By models that know the numbers, or only some (escapes), or none. */
static void test_streams(void)
{
  static rt_rans_model models[2];
  static const int lengths[] = {0, 1, 2, 3, 100, N};
  for (int kind = 0; kind < 4; kind++)
    for (int first = 0; first < 12; first += 3)
      for (int m = 0; m < 6; m++) {
        make_model(first, m, &models[0]);
        make_model(first + 8, m, &models[1]);
        for (int l = 0; l < 6; l++) {
          rt_bytes b = {0};
          rt_err err;
          put_all(kind, models, m, lengths[l], &b);
          CU_ASSERT_EQUAL(take_all(kind, models, m, lengths[l], &b, &err), 0);
          CU_ASSERT_EQUAL(err, RT_OK);
          if (lengths[l] > 0) {
            (void)take_all(kind, models, m, lengths[l] - 1, &b, &err);
            CU_ASSERT_EQUAL(err, RT_ERR_DATA); // one was left
          }
          rt_bytes_clear(&b);
        }
      }
}

/** Cut at every byte, and with one more: never the same numbers and an end. */
static void test_cut(void)
{
  static rt_rans_model models[2];
  rt_bytes b = {0};
  rt_err err;
  make_model(8, 2, &models[0]);
  make_model(14, 2, &models[1]);
  put_all(3, models, 2, 100, &b);
  const size_t n = b.n;
  for (b.n = 0; b.n < n; b.n++) {
    unsigned char *const exact = malloc(b.n + 1); // sanitizers see its end
    memcpy(exact, b.data, b.n);
    (void)take_all(3, models, 2, 100, &(rt_bytes){.data = exact, .n = b.n},
                   &err);
    CU_ASSERT_EQUAL(err, RT_ERR_DATA);
    free(exact);
  }
  RT_OKAY(rt_bytes_put(&b, "", 1));
  (void)take_all(3, models, 2, 100, &b, &err);
  RT_FAILS(err, RT_ERR_DATA, "the_row: the stream does not end");
  b.data[0] = 255; // words beyond the end
  (void)take_all(3, models, 2, 100, &b, &err);
  RT_FAILS(err, RT_ERR_DATA, "the_row: a stream of");
  rt_bytes_clear(&b);
}

/** Near the entropy: k bits of 2^k equal symbols; of one symbol next to
 *  nothing. */
static void test_size(void)
{
  for (int k = 0; k <= 6; k++) {
    static rt_rans_model models[2];
    rt_bytes b = {0};
    rt_rans_out out = {0};
    make_model(2 + k, 6, &models[0]);
    models[1] = models[0];
    for (int i = 0; i < N; i++)
      RT_OKAY(rt_rans_put(&out, models, 0, number((uint64_t)i, 1U << k), 6));
    RT_OKAY(rt_rans_finish(&out, &b));
    const double bits = 8.0 * (double)(b.n - 12);
    CU_ASSERT(bits >= 0.99 * k * N);
    CU_ASSERT(bits <= 1.02 * k * N + 0.01 * N + 32);
    rt_rans_out_clear(&out);
    rt_bytes_clear(&b);
  }
}

/** Only counted: which symbols a stream would have, and nothing is written. */
static void test_counting(void)
{
  static uint32_t count[2][RT_RANS_SYMBOLS];
  rt_rans_out out = {.count = count};
  rt_bytes b = {0};
  static const uint64_t v[] = {0, 3, 3, 4, 1000};
  for (int i = 0; i < 5; i++)
    RT_OKAY(rt_rans_put(&out, NULL, 1, v[i], 1));
  CU_ASSERT_EQUAL(count[1][0], 1);
  CU_ASSERT_EQUAL(count[1][3], 2);
  CU_ASSERT_EQUAL(count[1][4], 1);      // 4 and 5, one raw bit
  CU_ASSERT_EQUAL(count[1][4 + 15], 1); // 768 to 1023, eight raw bits
  RT_OKAY(rt_rans_finish(&out, &b));
  CU_ASSERT_EQUAL(b.n, 12); // no word, no bit
  rt_bytes_clear(&b);
  rt_rans_out_clear(&out);
}

RT_TEST_MAIN("rans", {"models", test_models}, {"no models", test_bad_models},
             {"numbers and symbols", test_numbers},
             {"streams of numbers", test_streams}, {"cut streams", test_cut},
             {"near the entropy", test_size}, {"counting", test_counting})
