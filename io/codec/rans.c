/** \file rans.c
 *  Static rANS models, and streams of symbols. */
#include "io/codec/rans.h"

#include <stdlib.h>
#include <string.h>

/** The numbers of precision \a m that a symbol stands for: its first one and
 *  its number of raw bits; more than 32 of these if there are none. */
static rt_rans_symbol numbers_of(unsigned s, int m)
{
  const uint32_t plain = 2U << m; // symbols that represent the number itself
  if (s < plain)
    return (rt_rans_symbol)s << RT_RANS_FIRST_AT;
  const uint32_t n_raw = ((s - plain) >> m) + 1;
  const uint32_t top = (1U << m) | ((s - plain) & ((1U << m) - 1));
  if (n_raw + (uint32_t)m >= 32)
    return (rt_rans_symbol)63 << RT_RANS_RAW_AT;
  return (rt_rans_symbol)(top << n_raw) << RT_RANS_FIRST_AT |
         (rt_rans_symbol)n_raw << RT_RANS_RAW_AT;
}

static void fill(const uint32_t freq[RT_RANS_SYMBOLS], int m,
                 rt_rans_model *out)
{
  uint32_t at = 0;
  RT_ASSERT(m >= 0 && m < 8);
  for (unsigned s = 0; s < RT_RANS_SYMBOLS; s++) {
    const rt_rans_symbol numbers = numbers_of(s, m);
    const bool odd = s == RT_RANS_ESCAPE || rt_rans_n_raw(numbers) > 32;
    out->symbol[s] = numbers | (rt_rans_symbol)odd << RT_RANS_ODD_AT |
                     (rt_rans_symbol)freq[s] << RT_RANS_FREQ_AT | at;
    memset(out->slot + at, (int)s, freq[s]);
    at += freq[s];
  }
}

void rt_rans_learn(const uint32_t count[RT_RANS_SYMBOLS], int m,
                   rt_rans_model *out)
{
  uint32_t freq[RT_RANS_SYMBOLS] = {0}, used = 0;
  double total = 0.0;
  for (int s = 0; s < RT_RANS_ESCAPE; s++)
    total += count[s];
  int max = RT_RANS_ESCAPE;
  freq[RT_RANS_ESCAPE] = RT_RANS_LEAST;
  for (int s = 0; s < RT_RANS_ESCAPE; s++) {
    if (count[s] == 0)
      continue;
    const double share =
        (double)count[s] / total * (RT_RANS_SCALE - 255 - RT_RANS_LEAST);
    freq[s] = (uint32_t)(1.0 + share);
    if (max == RT_RANS_ESCAPE || count[s] > count[max])
      max = s;
  }
  for (int s = 0; s < RT_RANS_SYMBOLS; s++)
    used += freq[s];
  freq[max] += RT_RANS_SCALE - used;
  fill(freq, m, out);
}

/** A frequency takes 1 byte if below 224, otherwise 2; a 0 is followed by the
 *  number of further zeros. */
rt_err rt_rans_store(const rt_rans_model *model, rt_bytes *out)
{
  for (unsigned s = 0; s < RT_RANS_SYMBOLS; s++) {
    const unsigned f = rt_rans_freq(model->symbol[s]);
    unsigned char code[2] = {(unsigned char)f, 0};
    size_t n = 1;
    if (f == 0) {
      while (s + 1 < RT_RANS_SYMBOLS &&
             rt_rans_freq(model->symbol[s + 1]) == 0) {
        s++;
        code[1]++;
      }
      n = 2;
    } else if (f >= 224) {
      code[0] = (unsigned char)(224 + (f >> 8));
      code[1] = (unsigned char)(f & 255);
      n = 2;
    }
    RT_TRY(rt_bytes_put(out, code, n));
  }
  return RT_OK;
}

rt_err rt_rans_load(const unsigned char *data, size_t n, size_t *at,
                    const char *name, int m, rt_rans_model *out)
{
  uint32_t freq[RT_RANS_SYMBOLS] = {0}, sum = 0;
  for (int s = 0; s < RT_RANS_SYMBOLS; s++) {
    const bool two = *at < n && (data[*at] == 0 || data[*at] >= 224);
    RT_CHECK(*at + (two ? 2 : 1) <= n, RT_ERR_DATA,
             "%s: tables of %zu bytes end in a model", name, n);
    const unsigned first = data[*at], second = two ? data[*at + 1] : 0;
    *at += two ? 2 : 1;
    if (first == 0)
      s += (int)second;
    else
      freq[s] = two ? (first - 224) << 8 | second : first;
    RT_CHECK(s < RT_RANS_SYMBOLS, RT_ERR_DATA, "%s: a model has symbol %d",
             name, s);
    sum += freq[s];
  }
  RT_CHECK(sum == RT_RANS_SCALE && freq[RT_RANS_ESCAPE] >= RT_RANS_LEAST,
           RT_ERR_DATA,
           "%s: a model's frequencies add up to %u, expected %d with an escape",
           name, sum, RT_RANS_SCALE);
  fill(freq, m, out);
  return RT_OK;
}

static rt_err put_bits(rt_rans_out *out, uint64_t value, int n)
{
  if (out->count != NULL)
    return RT_OK;
  out->pending |= value << out->n_pending;
  out->n_pending += n;
  RT_TRY(rt_bytes_room(&out->bits, 8));
  for (; out->n_pending >= 8; out->n_pending -= 8) {
    out->bits.data[out->bits.n++] = (unsigned char)out->pending;
    out->pending >>= 8;
  }
  return RT_OK;
}

static rt_err put_symbol(rt_rans_out *out, const rt_rans_model *m, unsigned s)
{
  const bool escaped = rt_rans_freq(m->symbol[s]) == 0 || s == RT_RANS_ESCAPE;
  const unsigned coded = escaped ? (unsigned)RT_RANS_ESCAPE : s;
  if (out->n_op == out->room) {
    const size_t room = 2 * out->room + 4096;
    rt_rans_symbol *const more = realloc(out->op, room * sizeof *more);
    RT_CHECK(more != NULL, RT_ERR_MEM, "%zu symbols of a row", room);
    out->op = more;
    out->room = room;
  }
  out->op[out->n_op++] = m->symbol[coded];
  return escaped ? put_bits(out, s, 8) : RT_OK;
}

rt_err rt_rans_put(rt_rans_out *out, const rt_rans_model *models, int i,
                   uint64_t v, int m)
{
  unsigned symbol = (unsigned)v;
  int n_raw = 0;
  if (v >= 2U << m) {
    const int top = 63 - __builtin_clzll(v);
    n_raw = top - m;
    symbol = (unsigned)((2U << m) + ((unsigned)(n_raw - 1) << m) +
                        ((v >> n_raw) - (1U << m)));
  }
  RT_ASSERT(symbol < RT_RANS_SYMBOLS);
  if (out->count != NULL) {
    out->count[i][symbol]++;
    return RT_OK;
  }
  RT_TRY(put_symbol(out, &models[i], symbol));
  return n_raw > 0 ? put_bits(out, v & ((UINT64_C(1) << n_raw) - 1), n_raw)
                   : RT_OK;
}

/** Encode the symbols from last to first; words are written downwards from \a
 *  end.  Returns the start of the words. */
static unsigned char *encode(const rt_rans_out *out, unsigned char *end)
{
  uint32_t x[2] = {rt_rans_low, rt_rans_low};
  for (size_t i = out->n_op; i-- > 0;) {
    const uint32_t freq = rt_rans_freq(out->op[i]);
    uint32_t s = x[i & 1];
    if (s >= (uint64_t)freq << (32 - RT_RANS_BITS)) {
      *--end = (unsigned char)(s >> 8);
      *--end = (unsigned char)s;
      s >>= 16;
    }
    x[i & 1] = (s / freq << RT_RANS_BITS) + s % freq + rt_rans_sum(out->op[i]);
  }
  for (int i = 1; i >= 0; i--)
    for (int shift = 24; shift >= 0; shift -= 8)
      *--end = (unsigned char)(x[i] >> shift);
  return end;
}

rt_err rt_rans_finish(rt_rans_out *out, rt_bytes *to)
{
  if (out->n_pending > 0) // pad to a whole byte
    RT_TRY(put_bits(out, 0, 8 - out->n_pending));
  const size_t max = 2 * out->n_op + 8;
  unsigned char *const words = malloc(max);
  RT_CHECK(words != NULL, RT_ERR_MEM, "%zu bytes of a record", max);
  const unsigned char *const begin = encode(out, words + max);
  const size_t n = (size_t)(words + max - begin);
  rt_err err = rt_bytes_put_u32(to, (uint32_t)n);
  if (err == RT_OK)
    err = rt_bytes_put(to, begin, n);
  if (err == RT_OK)
    err = rt_bytes_put(to, out->bits.data, out->bits.n);
  free(words);
  out->n_op = out->bits.n = 0;
  return err;
}

void rt_rans_out_clear(rt_rans_out *out)
{
  free(out->op);
  rt_bytes_clear(&out->bits);
  *out = (rt_rans_out){0};
}

static uint32_t u32_at(const unsigned char *data)
{
  uint32_t x;
  memcpy(&x, data, sizeof x);
  return x;
}

rt_err rt_rans_open(const unsigned char *data, size_t n, const char *name,
                    rt_rans_in *out)
{
  const uint64_t n_words = n >= 12 ? u32_at(data) : 0;
  RT_CHECK(n_words >= 8 && n_words % 2 == 0 && n_words <= n - 4, RT_ERR_DATA,
           "%s: a stream of %zu bytes with %llu bytes of words", name, n,
           (unsigned long long)n_words);
  *out = (rt_rans_in){.word = data + 12,
                      .word_end = data + 4 + n_words,
                      .bits = data + 4 + n_words,
                      .bits_end = data + n,
                      .x = {u32_at(data + 4), u32_at(data + 8)}};
  return RT_OK;
}

rt_err rt_rans_close(const rt_rans_in *in, const char *name)
{
  RT_CHECK(!in->bad && in->word == in->word_end && in->bits == in->bits_end &&
               in->pending == 0 && in->n_pending < 8 &&
               in->x[0] == rt_rans_low && in->x[1] == rt_rans_low,
           RT_ERR_DATA, "%s: the stream does not end with its last symbol",
           name);
  return RT_OK;
}
