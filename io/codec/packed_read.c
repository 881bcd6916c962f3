/** \file packed_read.c
 *  Decodes records of `packed` and `sampled` from untrusted bytes. */
#include "io/codec/packed.h"

#include "io/codec/codec_check.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static int64_t unzigzag(uint64_t x)
{
  return (int64_t)(x >> 1) ^ -(int64_t)(x & 1);
}

/** State for decoding a row. */
typedef struct decoder {
  const rt_packed *k;        // borrowed
  const rt_codec_spec *spec; // borrowed
  const char *name;          // borrowed
  rt_rans_in in;
  uint64_t *key; // owned [room]: (level, or N - draws) << 32 | id
  size_t room;
  rt_logits_row *row; // borrowed
} decoder;

static uint64_t take(decoder *e, int model, int m)
{
  return rt_rans_take(&e->in, &e->k->model[model], &e->k->numbers[m]);
}

static rt_err room_for(decoder *e, size_t n)
{
  if (n > e->room) {
    uint64_t *const more = realloc(e->key, 2 * n * sizeof *more);
    RT_CHECK(more != NULL, RT_ERR_MEM, "%zu entries", n);
    e->key = more;
    e->room = 2 * n;
  }
  return RT_OK;
}

/** Expected entries of one token. */
typedef struct wanted {
  size_t n;
  uint64_t max,
      span; // upper halves of their keys are most - v, with v at most span
  int context_of_range;
} wanted;

/** Decode the entries in order of rank into e->key; false if they are invalid.
 *  \a sure: the stream has enough words for all of them.
 *
 *  This runs beside the threads that compute, which leave little of the caches:
 *  a few contexts are frequent, so the slots of their models stay near. */
static inline bool take_entries(decoder *e, wanted w, rt_rans_rest rest)
{
  const rt_packed *const k = e->k;
  const rt_id_order *const o = &k->order;
  const rt_rans_model *const gaps = &k->model[RT_M_GAP];
  const rt_rans_model *const values =
      &k->model[RT_M_VALUE + w.context_of_range * RT_DENSITIES];
  const uint64_t vocab = e->spec->vocab;
  // a local copy, kept in registers with its two states: one for gaps
  rt_rans_in in = e->in;
  uint32_t a = in.x[in.turn], b = in.x[in.turn ^ 1];
  uint64_t next = 0;
  bool good = true;
  for (size_t i = 0; i < w.n && good; i++) {
    const unsigned context =
        rt_gap_context(rt_order_near(o, next), rt_packed_lg_left(k, w.n - i));
    const unsigned gap = gaps[context].slot[rt_rans_slot(a)];
    rt_rans_drop(&in, &a, gaps[context].code[gap], rest);
    const uint64_t rank =
        next + rt_rans_number(&in, gap, &k->numbers[RT_GAP_BITS]);
    if (rank >= o->n_seen && rank >= vocab)
      return false;
    const unsigned density = rt_order_near(o, rank) % RT_DENSITIES;
    const unsigned value = values[density].slot[rt_rans_slot(b)];
    rt_rans_drop(&in, &b, values[density].code[value], rest);
    const uint64_t v = rt_rans_number(&in, value, &k->numbers[RT_VALUE_BITS]);
    next = rank + 1;
    good = v <= w.span && (next < vocab || i + 1 == w.n);
    const uint32_t id =
        rank < o->n_seen ? o->id[rank] : rt_id_order_id(o, (uint32_t)rank);
    e->key[i] = (w.max - v) << 32 | id;
  }
  in.x[in.turn] = a;
  in.x[in.turn ^ 1] = b;
  e->in = in;
  return good && !in.bad;
}

static rt_err take_set(decoder *e, wanted w)
{
  // an entry takes at most two words
  const bool sure = (size_t)(e->in.word_end - e->in.word) / 4 >= w.n;
  RT_CHECK(sure ? take_entries(e, w, RT_RANS_GOES_ON)
                : take_entries(e, w, RT_RANS_MAY_END),
           RT_ERR_DATA,
           "%s: a token's %zu entries are not a set of ids below %llu with "
           "values up to %llu",
           e->name, w.n, (unsigned long long)e->spec->vocab,
           (unsigned long long)w.span);
  return RT_OK;
}

static int by_key(const void *a, const void *b)
{
  const uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
  return (x > y) - (x < y);
}

/** Insertion sort of nearly sorted keys.  Flat or malicious rows, for which it
 *  would take quadratic time, use qsort. */
static void sort_nearly(uint64_t *key, size_t n)
{
  size_t moves = 0;
  for (size_t i = 1; i < n; i++) {
    const uint64_t moved = key[i];
    size_t k = i;
    for (; k > 0 && key[k - 1] > moved; k--)
      key[k] = key[k - 1];
    key[k] = moved;
    moves += i - k;
    if (moves > 64 * n) {
      qsort(key, n, sizeof *key, by_key);
      return;
    }
  }
}

/** Sort the keys of one token, whose upper halves lie in \a least to \a least +
 *  \a span, into \a to: counting sort, then sort keys with equal halves. */
static void sort_keys(const uint64_t *from, size_t n, uint64_t least,
                      uint64_t span, uint64_t *to)
{
  uint32_t at[RT_N_LEVELS + 1];
  memset(at, 0, ((size_t)span + 2) * sizeof *at);
  for (size_t i = 0; i < n; i++)
    at[(from[i] >> 32) - least + 1]++;
  for (uint64_t k = 1; k <= span; k++)
    at[k] += at[k - 1];
  for (size_t i = 0; i < n; i++)
    to[at[(from[i] >> 32) - least]++] = from[i];
  sort_nearly(to, n);
}

static rt_err take_levels(decoder *e, size_t n, uint32_t *ids, float *logp)
{
  const rt_packed *k = e->k;
  uint64_t *const sorted = e->key + n;
  const uint64_t top = take(e, RT_M_TOP, RT_TOP_BITS);
  const uint64_t range = take(e, RT_M_RANGE, RT_RANGE_BITS);
  RT_CHECK(top < RT_N_LEVELS && range < RT_N_LEVELS - top, RT_ERR_DATA,
           "%s: levels %llu to %llu, expected less than %d", e->name,
           (unsigned long long)top, (unsigned long long)(top + range),
           RT_N_LEVELS);
  RT_TRY(take_set(
      e, (wanted){n, top + range, range, rt_packed_range_context((int)range)}));
  sort_keys(e->key, n, top, range, sorted);
  double mass = 0.0;
  for (size_t i = 0; i < n; i++) {
    ids[i] = (uint32_t)sorted[i];
    logp[i] = k->value[sorted[i] >> 32];
    mass += (double)k->prob[sorted[i] >> 32];
  }
  RT_CHECK(mass <= RT_CODEC_MAX_STORED, RT_ERR_DATA,
           "%s: %zu entries have mass %g, expected at most 1 (%g, rounded)",
           e->name, n, mass, RT_CODEC_MAX_STORED);
  return RT_OK;
}

static rt_err take_draws(decoder *e, size_t n, uint32_t *ids, float *logp)
{
  const uint64_t n_draws = (uint64_t)e->spec->n_draws;
  uint64_t *const sorted = e->key + n;
  uint64_t sum = 0;
  RT_TRY(take_set(e, (wanted){n, n_draws - 1, n_draws - 1, 0}));
  sort_keys(e->key, n, 0, n_draws - 1, sorted);
  for (size_t i = 0; i < n; i++) {
    const uint64_t draws = n_draws - (sorted[i] >> 32);
    ids[i] = (uint32_t)sorted[i];
    logp[i] = (float)log((double)draws / (double)n_draws);
    sum += draws;
  }
  RT_CHECK(sum == n_draws, RT_ERR_DATA, "%s: %llu draws, expected %llu",
           e->name, (unsigned long long)sum, (unsigned long long)n_draws);
  return RT_OK;
}

static rt_err take_rank(decoder *e, uint32_t *id)
{
  const uint64_t rank = take(e, RT_M_RANK, RT_RANK_BITS);
  RT_CHECK(rank < e->spec->vocab, RT_ERR_DATA,
           "%s: rank %llu, expected less than %llu", e->name,
           (unsigned long long)rank, (unsigned long long)e->spec->vocab);
  *id = rt_id_order_id(&e->k->order, (uint32_t)rank);
  return RT_OK;
}

static rt_err take_label(decoder *e, int64_t t, size_t n, const uint32_t *ids,
                         const float *logp)
{
  rt_logits_row *const row = e->row;
  const uint64_t place = take(e, RT_M_LABEL, RT_LABEL_BITS);
  RT_CHECK(place <= n, RT_ERR_DATA, "%s: place %llu of %zu entries", e->name,
           (unsigned long long)place, n);
  if (place > 0) {
    row->tok[t + 1] = ids[place - 1];
    row->label_logp[t] = logp[place - 1];
  } else
    RT_TRY(take_rank(e, &row->tok[t + 1]));
  if (place > 0 && e->spec->kind == RT_CODEC_PACKED)
    return RT_OK;
  const uint64_t level = take(e, RT_M_LEVEL, RT_LEVEL_BITS);
  RT_CHECK(level < RT_N_LEVELS, RT_ERR_DATA,
           "%s: level %llu, expected less than %d", e->name,
           (unsigned long long)level, RT_N_LEVELS);
  row->label_logp[t] = e->k->value[level];
  return RT_OK;
}

/** Ensure capacity for \a n more entries after \a at, out of \a all in the row.
 */
static rt_err grow_row(rt_logits_row *row, int64_t at, int64_t n, int64_t all)
{
  if (row->ids != NULL && at + n <= row->cap_entries)
    return RT_OK;
  const int64_t twice = 2 * (at + n) + 1024;
  return rt_logits_row_entries(row, twice < all ? twice : all);
}

static rt_err take_token(decoder *e, int64_t t, int64_t begin, int64_t all)
{
  const rt_packed *const k = e->k;
  rt_logits_row *const row = e->row;
  const uint64_t less = take(e, RT_M_COUNT, RT_COUNT_BITS);
  RT_CHECK(less <= (uint64_t)e->spec->max_entries &&
               e->spec->max_entries - (int64_t)less <= all - begin,
           RT_ERR_DATA, "%s, token %lld: entries beyond the %lld of the row",
           e->name, (long long)t, (long long)all);
  const size_t n = (size_t)(e->spec->max_entries - (int64_t)less);
  row->count[t] = (uint32_t)n;
  RT_TRY(room_for(e, 2 * n));
  RT_TRY(grow_row(row, begin, (int64_t)n, all));
  uint32_t *const ids = row->ids + begin;
  float *const logp = row->logp + begin;
  if (n > 0)
    RT_TRY(e->spec->kind == RT_CODEC_PACKED ? take_levels(e, n, ids, logp)
                                            : take_draws(e, n, ids, logp));
  row->lse[t] =
      (float)(unzigzag(take(e, RT_M_LSE, RT_LSE_BITS)) + k->lse_base) / 32.0F;
  RT_TRY(take_label(e, t, n, ids, logp));
  if (e->spec->entropy)
    row->entropy[t] = (float)take(e, RT_M_ENTROPY, RT_ENTROPY_BITS) / 64.0F;
  if (e->spec->deviation)
    row->deviation[t] =
        (float)take(e, RT_M_DEVIATION, RT_DEVIATION_BITS) / 64.0F;
  return RT_OK;
}

static rt_err take_row(decoder *e, int64_t n_entries)
{
  rt_logits_row *const row = e->row;
  int64_t begin = 0;
  RT_TRY(take_rank(e, &row->tok[0]));
  for (int64_t t = 0; t < row->n_tokens; t++) {
    RT_TRY(take_token(e, t, begin, n_entries));
    begin += row->count[t];
  }
  RT_CHECK(begin == n_entries, RT_ERR_DATA,
           "%s: counts add up to %lld of %lld entries", e->name,
           (long long)begin, (long long)n_entries);
  row->n_entries = n_entries;
  return rt_rans_close(&e->in, e->name);
}

rt_err rt_packed_decode(const rt_packed *k, rt_bytes_in *in, rt_logits_row *out)
{
  const rt_codec_spec *spec = &k->spec;
  uint32_t n_tokens, n_entries;
  RT_TRY(rt_bytes_take_u32(in, &n_tokens));
  RT_TRY(rt_bytes_take_u32(in, &n_entries));
  RT_TRY(rt_codec_take_origin(spec, in, out));
  // a symbol takes at least 1/360 bit, see RT_RANS_LEAST
  RT_CHECK(n_tokens <= spec->max_tokens && n_tokens / 4096 <= in->n &&
               n_entries / 4096 <= in->n,
           RT_ERR_DATA, "%s: %lu tokens, %lu entries in %zu bytes", in->name,
           (unsigned long)n_tokens, (unsigned long)n_entries, in->n);
  decoder e = {.k = k, .spec = spec, .name = in->name, .row = out};
  RT_TRY(rt_rans_open(in->data + in->at, in->n - in->at, in->name, &e.in));
  out->n_tokens = n_tokens;
  out->n_entries = 0;
  RT_TRY(rt_logits_row_tokens(out, n_tokens));
  RT_TRY(rt_logits_row_optional(
      out, (rt_logits_optional){.entropy = spec->entropy,
                                .deviation = spec->deviation}));
  const rt_err err = take_row(&e, n_entries);
  free(e.key);
  return err;
}
