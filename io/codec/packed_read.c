/** \file packed_read.c
 *  Decodes records of `packed` and `sampled` from untrusted bytes. */
#include "io/codec/packed_reader.h"

#include <stdlib.h>
#include <string.h>

static int64_t unzigzag(uint64_t x)
{
  return (int64_t)(x >> 1) ^ -(int64_t)(x & 1);
}

typedef rt_packed_reader reader;

static uint64_t take(reader *r, int model)
{
  return rt_rans_take(&r->in, &r->k->model[model]);
}

static rt_err room_for(reader *r, size_t n)
{
  if (n > r->room) {
    uint64_t *const more = realloc(r->key, 2 * n * sizeof *more);
    RT_CHECK(more != NULL, RT_ERR_MEM, "%zu entries", n);
    r->key = more;
    r->room = 2 * n;
  }
  return RT_OK;
}

/** Decode the next \a n entries in order of rank into r->key; false if they
 *  are invalid. */
static inline bool take_entries(reader *r, size_t n, rt_rans_rest rest)
{
  const rt_packed *const k = r->k;
  const rt_id_order *const o = &k->order;
  const rt_rans_model *const gaps = &k->model[RT_M_GAP];
  const rt_rans_model *const values =
      &k->model[RT_M_VALUE + r->set.context_of_range * RT_DENSITIES];
  const uint64_t vocab = k->spec.vocab;
  // a local copy, kept in registers with its two states: one for gaps
  rt_rans_in in = r->in;
  rt_packed_set set = r->set;
  uint32_t a = in.x[in.turn], b = in.x[in.turn ^ 1];
  bool good = true;
  for (const size_t end = set.taken + n; set.taken < end && good;) {
    const unsigned context = rt_gap_context(
        rt_order_near(o, set.next), rt_packed_lg_left(k, set.n - set.taken));
    const uint64_t rank =
        set.next + rt_rans_take_from(&in, &a, &gaps[context], rest);
    if (rank >= o->n_seen && rank >= vocab)
      return false;
    const unsigned density = rt_order_near(o, rank) % RT_DENSITIES;
    const uint64_t v = rt_rans_take_from(&in, &b, &values[density], rest);
    const uint32_t id =
        rank < o->n_seen ? o->at[rank].id : rt_id_order_id(o, (uint32_t)rank);
    r->key[set.taken++] = (set.max - v) << 32 | id;
    set.next = rank + 1;
    good = v <= set.span && (set.next < vocab || set.taken == set.n);
  }
  in.x[in.turn] = a;
  in.x[in.turn ^ 1] = b;
  r->in = in;
  r->set = set;
  return good && !in.bad;
}

rt_err rt_packed_reader_take(reader *r, size_t n)
{
  // an entry takes at most two words
  const bool sure = (size_t)(r->in.word_end - r->in.word) / 4 >= n;
  RT_CHECK(sure ? take_entries(r, n, RT_RANS_GOES_ON)
                : take_entries(r, n, RT_RANS_MAY_END),
           RT_ERR_DATA,
           "%s: a token's %zu entries are not a set of ids below %llu with "
           "values up to %llu",
           r->name, r->set.n, (unsigned long long)r->k->spec.vocab,
           (unsigned long long)r->set.span);
  return RT_OK;
}

static rt_err begin_levels(reader *r, size_t n)
{
  const uint64_t top = take(r, RT_M_TOP);
  const uint64_t range = take(r, RT_M_RANGE);
  RT_CHECK(top < RT_N_LEVELS && range < RT_N_LEVELS - top, RT_ERR_DATA,
           "%s: levels %llu to %llu, expected less than %d", r->name,
           (unsigned long long)top, (unsigned long long)(top + range),
           RT_N_LEVELS);
  r->set =
      (rt_packed_set){.n = n,
                      .max = top + range,
                      .span = range,
                      .context_of_range = rt_packed_range_context((int)range)};
  return RT_OK;
}

static rt_err take_rank(reader *r, uint32_t *id)
{
  const uint64_t rank = take(r, RT_M_RANK);
  RT_CHECK(rank < r->k->spec.vocab, RT_ERR_DATA,
           "%s: rank %llu, expected less than %llu", r->name,
           (unsigned long long)rank, (unsigned long long)r->k->spec.vocab);
  *id = rt_id_order_id(&r->k->order, (uint32_t)rank);
  return RT_OK;
}

/** The corpus token: 1 + its place in the entries, or its rank. */
static rt_err take_label(reader *r, int64_t t, uint64_t *place)
{
  rt_logits_row *const row = r->row;
  *place = take(r, RT_M_LABEL);
  RT_CHECK(*place <= r->set.n, RT_ERR_DATA, "%s: place %llu of %zu entries",
           r->name, (unsigned long long)*place, r->set.n);
  if (*place == 0)
    RT_TRY(take_rank(r, &row->tok[t + 1]));
  else if (r->k->spec.kind == RT_CODEC_PACKED)
    return RT_OK;
  const uint64_t level = take(r, RT_M_LEVEL);
  RT_CHECK(level < RT_N_LEVELS, RT_ERR_DATA,
           "%s: level %llu, expected less than %d", r->name,
           (unsigned long long)level, RT_N_LEVELS);
  row->label_logp[t] = r->k->value[level];
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

rt_err rt_packed_reader_begin(reader *r)
{
  const rt_codec_spec *const spec = &r->k->spec;
  const uint64_t less = take(r, RT_M_COUNT);
  const int64_t left = r->n_entries - r->begin;
  RT_CHECK(less <= (uint64_t)spec->max_entries &&
               spec->max_entries - (int64_t)less <= left,
           RT_ERR_DATA, "%s, token %lld: entries beyond the %lld of the row",
           r->name, (long long)r->t, (long long)r->n_entries);
  const size_t n = (size_t)(spec->max_entries - (int64_t)less);
  r->row->count[r->t] = (uint32_t)n;
  RT_TRY(room_for(r, 2 * n));
  RT_TRY(grow_row(r->row, r->begin, (int64_t)n, r->n_entries));
  if (n > 0 && spec->kind == RT_CODEC_PACKED)
    return begin_levels(r, n);
  const uint64_t most = (uint64_t)spec->n_draws - 1;
  r->set = (rt_packed_set){.n = n, .max = most, .span = most};
  return RT_OK;
}

rt_err rt_packed_reader_end(reader *r, rt_packed_sorter *sorter)
{
  const rt_packed *const k = r->k;
  rt_logits_row *const row = r->row;
  rt_packed_token token = {.k = k,
                           .name = r->name,
                           .row = row,
                           .t = r->t,
                           .begin = r->begin,
                           .n = r->set.n,
                           .least = r->set.max - r->set.span,
                           .span = r->set.span};
  const int64_t t = r->t++;
  row->lse[t] = (float)(unzigzag(take(r, RT_M_LSE)) + k->lse_base) / 32.0F;
  RT_TRY(take_label(r, t, &token.place));
  if (k->spec.entropy)
    row->entropy[t] = (float)take(r, RT_M_ENTROPY) / 64.0F;
  if (k->spec.deviation)
    row->deviation[t] = (float)take(r, RT_M_DEVIATION) / 64.0F;
  r->begin += (int64_t)r->set.n;
  return token.n > 0 ? rt_packed_sort(sorter, &token, r->key) : RT_OK;
}

rt_err rt_packed_reader_close(reader *r)
{
  RT_CHECK(r->begin == r->n_entries, RT_ERR_DATA,
           "%s: counts add up to %lld of %lld entries", r->name,
           (long long)r->begin, (long long)r->n_entries);
  r->row->n_entries = r->n_entries;
  return rt_rans_close(&r->in, r->name);
}

rt_err rt_packed_reader_open(const rt_packed *k, rt_bytes_in *in,
                             rt_logits_row *row, reader *out)
{
  const rt_codec_spec *const spec = &k->spec;
  uint32_t n_tokens, n_entries;
  *out = (reader){.k = k, .name = in->name, .row = row};
  RT_TRY(rt_bytes_take_u32(in, &n_tokens));
  RT_TRY(rt_bytes_take_u32(in, &n_entries));
  RT_TRY(rt_codec_take_origin(spec, in, row));
  // a symbol takes at least 1/360 bit, see RT_RANS_LEAST
  RT_CHECK(n_tokens <= spec->max_tokens && n_tokens / 4096 <= in->n &&
               n_entries / 4096 <= in->n,
           RT_ERR_DATA, "%s: %lu tokens, %lu entries in %zu bytes", in->name,
           (unsigned long)n_tokens, (unsigned long)n_entries, in->n);
  RT_TRY(rt_rans_open(in->data + in->at, in->n - in->at, in->name, &out->in));
  out->n_entries = n_entries;
  row->n_tokens = n_tokens;
  row->n_entries = 0;
  RT_TRY(rt_logits_row_tokens(row, n_tokens));
  RT_TRY(rt_logits_row_optional(
      row, (rt_logits_optional){.entropy = spec->entropy,
                                .deviation = spec->deviation}));
  return take_rank(out, &row->tok[0]);
}

void rt_packed_reader_clear(reader *r)
{
  free(r->key);
  r->key = NULL;
}

static rt_err take_row(reader *r)
{
  rt_packed_sorter sorter;
  sorter.n = 0;
  sorter.most = 0;
  while (r->t < r->row->n_tokens) {
    RT_TRY(rt_packed_reader_begin(r));
    RT_TRY(rt_packed_reader_take(r, r->set.n));
    RT_TRY(rt_packed_reader_end(r, &sorter));
  }
  RT_TRY(rt_packed_reader_close(r));
  return rt_packed_sort_rest(&sorter);
}

rt_err rt_packed_decode(const rt_packed *k, rt_bytes_in *in, rt_logits_row *out)
{
  reader r;
  rt_err err = rt_packed_reader_open(k, in, out, &r);
  if (err == RT_OK)
    err = take_row(&r);
  rt_packed_reader_clear(&r);
  return err;
}
