/** \file packed_write.c
 *  Encodes rows as records of `packed` and `sampled`, and builds tables from a
 *  sample. */
#include "io/codec/packed.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static uint64_t zigzag(int64_t x)
{
  return ((uint64_t)x << 1) ^ (uint64_t)(x >> 63);
}

/** An entry to encode; entries are sorted by rank. */
typedef struct item {
  uint32_t rank, id;
  int value; // level, or number of draws
} item;

/** State for encoding rows. */
typedef struct encoder {
  const rt_packed *k; // borrowed
  rt_rans_out *out;   // borrowed
  item *item;         // owned [room]
  uint64_t *key;      // owned [2 room]
  size_t room;
} encoder;

static void encoder_clear(encoder *p)
{
  free(p->item);
  free(p->key);
}

static rt_err encoder_room(encoder *p, size_t n)
{
  if (n <= p->room)
    return RT_OK;
  item *const items = realloc(p->item, 2 * n * sizeof *items);
  RT_CHECK(items != NULL, RT_ERR_MEM, "%zu entries", n);
  p->item = items;
  uint64_t *const keys = realloc(p->key, 4 * n * sizeof *keys);
  RT_CHECK(keys != NULL, RT_ERR_MEM, "%zu entries", n);
  p->key = keys;
  p->room = 2 * n;
  return RT_OK;
}

static rt_err put(encoder *p, int model, uint64_t v, int m)
{
  return rt_rans_put(p->out, p->k->model, model, v, m);
}

/** Merge \a x [0, mid) and \a x [mid, n), both ascending, into \a to. */
static void merge(const uint64_t *x, size_t mid, size_t n, uint64_t *to)
{
  size_t i = 0, j = mid;
  while (i < mid && j < n) { // unpredictable, so without a branch
    const bool second = x[j] < x[i];
    *to++ = second ? x[j] : x[i];
    i += !second;
    j += second;
  }
  memcpy(to, x + i, (mid - i) * sizeof *x);
  memcpy(to + (mid - i), x + j, (n - j) * sizeof *x);
}

/** Sort keys: short runs, which are then merged pairwise.  \a spare is as large
 *  as \a x; returns whichever of the two holds the result. */
static const uint64_t *sort_keys(uint64_t *x, size_t n, uint64_t *spare)
{
  enum { RUN = 32 };
  for (size_t i = 0; i < n; i++) {
    const uint64_t moved = x[i];
    size_t to = i;
    for (; to % RUN > 0 && x[to - 1] > moved; to--)
      x[to] = x[to - 1];
    x[to] = moved;
  }
  for (size_t run = RUN; run < n; run *= 2) {
    for (size_t at = 0; at < n; at += 2 * run) {
      const size_t left = n - at;
      merge(x + at, run < left ? run : left, 2 * run < left ? 2 * run : left,
            spare + at);
    }
    uint64_t *const sorted = spare;
    spare = x;
    x = sorted;
  }
  return x;
}

/** Number of draws of an entry whose log-prob is log(draws / N). */
static int draws_of(const rt_codec_spec *spec, float logp)
{
  return (int)lrint(exp((double)logp) * (double)spec->n_draws);
}

/** Convert the token's entries to items, sorted by rank. */
static rt_err take_items(encoder *p, const rt_logits_row *row, int64_t begin,
                         size_t n)
{
  const rt_codec_spec *spec = &p->k->spec;
  const uint32_t *const ids = row->ids + begin; // [n]
  const float *const logp = row->logp + begin;  // [n]
  RT_TRY(encoder_room(p, n));
  for (size_t i = 0; i < n; i++)
    p->key[i] = (uint64_t)rt_id_order_rank(&p->k->order, ids[i]) << 32 | i;
  const uint64_t *const key = sort_keys(p->key, n, p->key + p->room);
  for (size_t i = 0; i < n; i++) {
    const size_t from = key[i] & UINT32_MAX;
    p->item[i] =
        (item){(uint32_t)(key[i] >> 32), ids[from],
               spec->kind == RT_CODEC_PACKED ? rt_packed_level(logp[from])
                                             : draws_of(spec, logp[from])};
  }
  return RT_OK;
}

/** Encode the entries as a set; levels relative to the least probable one,
 *  draws minus one. */
static rt_err put_items(encoder *p, size_t n, int low, int range)
{
  const rt_id_order *o = &p->k->order;
  const int at_range = rt_packed_range_context(range) * RT_DENSITIES;
  uint64_t next = 0;
  for (size_t i = 0; i < n; i++) {
    const item *x = &p->item[i];
    const unsigned context =
        rt_gap_context(rt_order_near(o, next), rt_packed_lg_left(p->k, n - i));
    const unsigned density = rt_order_near(o, x->rank) % RT_DENSITIES;
    RT_TRY(put(p, RT_M_GAP + (int)context, x->rank - next, RT_GAP_BITS));
    RT_TRY(put(p, RT_M_VALUE + at_range + (int)density,
               (uint64_t)(low < 0 ? x->value - 1 : low - x->value),
               RT_VALUE_BITS));
    next = (uint64_t)x->rank + 1;
  }
  return RT_OK;
}

static rt_err put_levels(encoder *p, size_t n)
{
  int top = RT_N_LEVELS, low = 0;
  for (size_t i = 0; i < n; i++) {
    top = p->item[i].value < top ? p->item[i].value : top;
    low = p->item[i].value > low ? p->item[i].value : low;
  }
  RT_TRY(put(p, RT_M_TOP, (uint64_t)top, RT_TOP_BITS));
  RT_TRY(put(p, RT_M_RANGE, (uint64_t)(low - top), RT_RANGE_BITS));
  return put_items(p, n, low, low - top);
}

static rt_err put_draws(encoder *p, size_t n)
{
  int64_t sum = 0;
  for (size_t i = 0; i < n; i++)
    sum += p->item[i].value > 0 ? p->item[i].value : INT32_MAX;
  RT_CHECK(sum == p->k->spec.n_draws, RT_ERR_DATA,
           "a token's %zu entries are not %lld draws", n,
           (long long)p->k->spec.n_draws);
  return put_items(p, n, -1, 0);
}

/** Position of the corpus token in the decoded order, 1 for the first; 0 if
 *  absent. */
static uint64_t find_label(const encoder *p, size_t n, uint32_t label)
{
  const bool packed = p->k->spec.kind == RT_CODEC_PACKED;
  size_t i = 0;
  while (i < n && p->item[i].id != label)
    i++;
  if (i == n)
    return 0;
  const int mine = p->item[i].value;
  uint64_t place = 1;
  for (size_t k = 0; k < n; k++) {
    const int other = p->item[k].value;
    place += other == mine ? p->item[k].id < label
                           : (packed ? other < mine : other > mine);
  }
  return place;
}

static rt_err put_label(encoder *p, const rt_logits_row *row, int64_t t,
                        size_t n)
{
  const uint32_t label = row->tok[t + 1];
  const uint64_t place = find_label(p, n, label);
  RT_TRY(put(p, RT_M_LABEL, place, RT_LABEL_BITS));
  if (place == 0)
    RT_TRY(
        put(p, RT_M_RANK, rt_id_order_rank(&p->k->order, label), RT_RANK_BITS));
  if (place == 0 || p->k->spec.kind == RT_CODEC_SAMPLED)
    RT_TRY(put(p, RT_M_LEVEL, (uint64_t)rt_packed_level(row->label_logp[t]),
               RT_LEVEL_BITS));
  return RT_OK;
}

static rt_err put_token(encoder *p, const rt_logits_row *row, int64_t t,
                        int64_t begin)
{
  const rt_codec_spec *spec = &p->k->spec;
  const size_t n = row->count[t];
  RT_TRY(put(p, RT_M_COUNT, (uint64_t)spec->max_entries - n, RT_COUNT_BITS));
  if (n > 0) {
    RT_TRY(take_items(p, row, begin, n));
    RT_TRY(spec->kind == RT_CODEC_PACKED ? put_levels(p, n) : put_draws(p, n));
  }
  RT_TRY(put(p, RT_M_LSE,
             zigzag(rt_packed_steps(row->lse[t], 32.0F) - p->k->lse_base),
             RT_LSE_BITS));
  RT_TRY(put_label(p, row, t, n));
  if (spec->entropy)
    RT_TRY(put(p, RT_M_ENTROPY,
               (uint64_t)rt_packed_steps(fminf(row->entropy[t], 32.0F), 64.0F),
               RT_ENTROPY_BITS));
  if (spec->deviation)
    RT_TRY(put(p, RT_M_DEVIATION,
               (uint64_t)rt_packed_steps(row->deviation[t], 64.0F),
               RT_DEVIATION_BITS));
  return RT_OK;
}

static rt_err put_row(encoder *p, const rt_logits_row *row)
{
  int64_t begin = 0;
  RT_TRY(put(p, RT_M_RANK, rt_id_order_rank(&p->k->order, row->tok[0]),
             RT_RANK_BITS));
  for (int64_t t = 0; t < row->n_tokens; t++) {
    RT_TRY(put_token(p, row, t, begin));
    begin += row->count[t];
  }
  return RT_OK;
}

/** Encode \a rows [n_rows] to \a out, or only count the symbols. */
static rt_err put_rows(const rt_packed *k, const rt_logits_row *rows,
                       int64_t n_rows, rt_rans_out *out)
{
  encoder p = {.k = k, .out = out};
  rt_err err = RT_OK;
  for (int64_t r = 0; err == RT_OK && r < n_rows; r++)
    err = put_row(&p, &rows[r]);
  encoder_clear(&p);
  return err;
}

rt_err rt_packed_encode(const rt_packed *k, const rt_logits_row *row,
                        rt_bytes *out)
{
  rt_rans_out stream = {0};
  RT_TRY(rt_bytes_put_u32(out, (uint32_t)row->n_tokens));
  RT_TRY(rt_bytes_put_u32(out, (uint32_t)row->n_entries));
  RT_TRY(rt_codec_put_origin(&k->spec, row, out));
  rt_err err = put_rows(k, row, 1, &stream);
  if (err == RT_OK)
    err = rt_rans_finish(&stream, out);
  rt_rans_out_clear(&stream);
  return err;
}

/** Sample size for models, which need fewer tokens than the order of ids. */
static const int64_t model_tokens = 16384;

/** A central value of the log-sum-exps: their mean. */
static int32_t find_base(const rt_logits_row *rows, int64_t n_rows)
{
  double sum = 0.0, n = 0.0;
  for (int64_t r = 0; r < n_rows; r++)
    for (int64_t t = 0; t < rows[r].n_tokens; t++) {
      sum += (double)rt_packed_steps(rows[r].lse[t], 32.0F);
      n += 1.0;
    }
  return n > 0.0 ? (int32_t)lrint(sum / n) : 0;
}

/** The ids of all entries, concatenated; the caller frees the array. */
static rt_err gather_ids(const rt_logits_row *rows, int64_t n_rows,
                         uint32_t **out, int64_t *n)
{
  *n = 0;
  for (int64_t r = 0; r < n_rows; r++)
    *n += rows[r].n_entries;
  *out = malloc(((size_t)*n + 1) * sizeof **out);
  RT_CHECK(*out != NULL, RT_ERR_MEM, "%lld ids of a sample", (long long)*n);
  int64_t at = 0;
  for (int64_t r = 0; r < n_rows; r++) {
    if (rows[r].n_entries > 0)
      memcpy(*out + at, rows[r].ids, (size_t)rows[r].n_entries * sizeof **out);
    at += rows[r].n_entries;
  }
  return RT_OK;
}

/** Count the symbols that the rows would produce, and build the models from the
 *  counts. */
static rt_err learn_models(rt_packed *k, const rt_logits_row *rows,
                           int64_t n_rows)
{
  uint32_t(*const count)[RT_RANS_SYMBOLS] = calloc(RT_N_MODELS, sizeof *count);
  RT_CHECK(count != NULL, RT_ERR_MEM, "%d counts", RT_N_MODELS);
  rt_rans_out out = {.count = count};
  int64_t n = 0, n_tokens = 0;
  while (n < n_rows && n_tokens < model_tokens)
    n_tokens += rows[n++].n_tokens;
  const rt_err err = put_rows(k, rows, n, &out);
  rt_rans_out_clear(&out);
  for (int i = 0; i < RT_N_MODELS; i++)
    rt_rans_learn(count[i], rt_packed_bits(i), &k->model[i]);
  free(count);
  return err;
}

rt_err rt_packed_learn(const rt_codec_spec *spec, const rt_logits_row *rows,
                       int64_t n_rows, rt_packed **out)
{
  RT_TRY(rt_packed_create(spec, out));
  rt_packed *const k = *out;
  k->lse_base = find_base(rows, n_rows);
  uint32_t *ids = NULL;
  int64_t n;
  RT_TRY(gather_ids(rows, n_rows, &ids, &n));
  const rt_err err = rt_id_order_learn(spec->vocab, ids, n, &k->order);
  free(ids);
  RT_TRY(err);
  RT_TRY(learn_models(k, rows, n_rows));
  rt_packed_complete(k);
  return RT_OK;
}
