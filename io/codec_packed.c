/** \file codec_packed.c
 *  The encodings `packed` and `sampled`: the ids of a token as a set in the
 *  order of their frequency, log-probs in steps or draws as counts, everything
 *  through rANS.  doc/formats.md, "packed and sampled", is the specification.
 */
#include "io/codec_order.h"
#include "io/codec_parts.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/** M(name, models, m): what is coded, in how many contexts, how finely. */
#define MODELS(M)                                                              \
  M(COUNT, 1, 3)   /* most entries less those of the token */                  \
  M(TOP, 1, 3)     /* level of its likeliest entry */                          \
  M(RANGE, 1, 5)   /* level of its unlikeliest, above that */                  \
  M(LSE, 1, 3)     /* log-sum-exp in 32nds, from the base, zigzag */           \
  M(LABEL, 1, 3)   /* 1 + place of the corpus token in the entries; 0 none */  \
  M(RANK, 1, 2)    /* rank of a corpus token */                                \
  M(LEVEL, 1, 5)   /* level of its log-prob */                                 \
  M(ENTROPY, 1, 4) /* in 64ths */                                              \
  M(DEVIATION, 1, 3) /* in 64ths */                                            \
  M(GAP, RT_GAP_CONTEXTS, 2)                                                   \
  M(VALUE, N_RANGES *RT_DENSITIES, 5)

enum { N_RANGES = 12, N_LEVELS = 2048, MAX_BITS = 5, N_LEFT = 4096 };
#define MODEL_ENUM(name, n, m) M_##name, M_##name##_LAST = M_##name + (n)-1,
enum { MODELS(MODEL_ENUM) N_MODELS };
#define MODEL_BITS(name, n, m) name##_BITS = m,
enum { MODELS(MODEL_BITS) BITS_END };

/** Models need fewer tokens than the order of ids. */
static const int64_t model_tokens = 16384;

struct rt_packed {
  rt_id_order order; // owned
  int32_t lse_base;  // 32nds
  rt_rans_model model[N_MODELS];
  rt_rans_numbers numbers[MAX_BITS + 1]; // by m
  uint16_t lg_left[N_LEFT];              // rt_lg16(), from 1 on
  float value[N_LEVELS], prob[N_LEVELS]; // log-prob of a level, its exp
};

/** --- levels: -log-prob in steps that grow where it matters less --- */

static const struct {
  float from, per_nat;
  int level;
} steps[] = {{0.0F, 64.0F, 0},
             {1.0F, 32.0F, 64},
             {3.0F, 16.0F, 128},
             {6.5F, 8.0F, 184},
             {9.0F, 4.0F, 204}};
enum { N_STEPS = sizeof steps / sizeof steps[0] };

static int level_of(float logp)
{
  const float x = -logp > 0.0F ? -logp : 0.0F;
  int s = N_STEPS - 1;
  while (x < steps[s].from)
    s--;
  const float at = (x - steps[s].from) * steps[s].per_nat + 0.5F;
  return at < N_LEVELS
             ? (steps[s].level + (int)at < N_LEVELS ? steps[s].level + (int)at
                                                    : N_LEVELS - 1)
             : N_LEVELS - 1;
}

static float value_of(int level)
{
  int s = N_STEPS - 1;
  while (level < steps[s].level)
    s--;
  return -(steps[s].from + (float)(level - steps[s].level) / steps[s].per_nat);
}

float rt_packed_bound(float logp)
{
  int s = N_STEPS - 1;
  while (s > 0 && -logp < steps[s].from)
    s--;
  return 0.5F / steps[s].per_nat;
}

/** --- contexts --- */

/** Which values to expect of a token whose entries span \a range levels. */
static int range_context(int range)
{
  static const int below[N_RANGES - 1] = {4,  12,  24,  40,  56, 72,
                                          88, 104, 120, 140, 170};
  int i = 0;
  while (i < N_RANGES - 1 && range >= below[i])
    i++;
  return i;
}

static uint64_t zigzag(int64_t x)
{
  return ((uint64_t)x << 1) ^ (uint64_t)(x >> 63);
}

static int64_t unzigzag(uint64_t x)
{
  return (int64_t)(x >> 1) ^ -(int64_t)(x & 1);
}

/** --- encoding --- */

/** An entry on its way: sorted by rank. */
typedef struct item {
  uint32_t rank, id;
  int value; // level, or draws
} item;

/** What encoding a row needs besides the codec. */
typedef struct pen {
  const rt_codec *codec; // borrowed
  rt_rans_out out;       // owned
  item *item;            // owned [room]
  size_t room;
} pen;

static void pen_clear(pen *p)
{
  rt_rans_out_clear(&p->out);
  free(p->item);
}

static rt_err put(pen *p, int model, uint64_t v, int m)
{
  return rt_rans_put(&p->out, p->codec->packed->model, model, v, m);
}

static int by_rank(const void *a, const void *b)
{
  const uint32_t x = ((const item *)a)->rank, y = ((const item *)b)->rank;
  return (x > y) - (x < y);
}

static void sort_items(item *x, size_t n)
{
  if (n > 64) {
    qsort(x, n, sizeof *x, by_rank);
    return;
  }
  for (size_t i = 1; i < n; i++) {
    const item moved = x[i];
    size_t to = i;
    for (; to > 0 && x[to - 1].rank > moved.rank; to--)
      x[to] = x[to - 1];
    x[to] = moved;
  }
}

/** Draws of an entry whose log-prob is log(draws / N). */
static int draws_of(const rt_codec_spec *spec, float logp)
{
  return (int)lrint(exp((double)logp) * (double)spec->n_draws);
}

/** The token's entries as items in the order of their ranks. */
static rt_err take_items(pen *p, const rt_logits_row *row, int64_t begin,
                         size_t n)
{
  const rt_codec_spec *spec = &p->codec->spec;
  if (n > p->room) {
    item *const more = realloc(p->item, 2 * n * sizeof *more);
    RT_CHECK(more != NULL, RT_ERR_MEM, "%zu entries", n);
    p->item = more;
    p->room = 2 * n;
  }
  for (size_t i = 0; i < n; i++) {
    const uint32_t id = row->ids[begin + (int64_t)i];
    const float logp = row->logp[begin + (int64_t)i];
    p->item[i] = (item){rt_id_order_rank(&p->codec->packed->order, id), id,
                        spec->kind == RT_CODEC_PACKED ? level_of(logp)
                                                      : draws_of(spec, logp)};
  }
  sort_items(p->item, n);
  return RT_OK;
}

static int lg_left(const struct rt_packed *k, size_t left)
{
  return left < N_LEFT ? k->lg_left[left] : rt_lg16(left);
}

/** Entries come as a set; levels from the unlikeliest up, draws less one. */
static rt_err put_items(pen *p, size_t n, int low, int range)
{
  const rt_id_order *o = &p->codec->packed->order;
  const int at_range = range_context(range) * RT_DENSITIES;
  uint64_t next = 0;
  for (size_t i = 0; i < n; i++) {
    const item *x = &p->item[i];
    const unsigned context = rt_gap_context(rt_order_near(o, next),
                                            lg_left(p->codec->packed, n - i));
    const unsigned density = rt_order_near(o, x->rank) % RT_DENSITIES;
    RT_TRY(put(p, M_GAP + (int)context, x->rank - next, GAP_BITS));
    RT_TRY(put(p, M_VALUE + at_range + (int)density,
               (uint64_t)(low < 0 ? x->value - 1 : low - x->value),
               VALUE_BITS));
    next = (uint64_t)x->rank + 1;
  }
  return RT_OK;
}

static rt_err put_levels(pen *p, size_t n)
{
  int top = N_LEVELS, low = 0;
  for (size_t i = 0; i < n; i++) {
    top = p->item[i].value < top ? p->item[i].value : top;
    low = p->item[i].value > low ? p->item[i].value : low;
  }
  RT_TRY(put(p, M_TOP, (uint64_t)top, TOP_BITS));
  RT_TRY(put(p, M_RANGE, (uint64_t)(low - top), RANGE_BITS));
  return put_items(p, n, low, low - top);
}

static rt_err put_draws(pen *p, size_t n)
{
  int64_t sum = 0;
  for (size_t i = 0; i < n; i++)
    sum += p->item[i].value > 0 ? p->item[i].value : INT32_MAX;
  RT_CHECK(sum == p->codec->spec.n_draws, RT_ERR_DATA,
           "a token's %zu entries are not %lld draws", n,
           (long long)p->codec->spec.n_draws);
  return put_items(p, n, -1, 0);
}

/** Where the corpus token is in the decoded order, 1 for the first; else 0. */
static uint64_t find_label(const pen *p, size_t n, uint32_t label)
{
  const bool packed = p->codec->spec.kind == RT_CODEC_PACKED;
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

static rt_err put_label(pen *p, const rt_logits_row *row, int64_t t, size_t n)
{
  const uint32_t label = row->tok[t + 1];
  const uint64_t place = find_label(p, n, label);
  RT_TRY(put(p, M_LABEL, place, LABEL_BITS));
  if (place == 0)
    RT_TRY(put(p, M_RANK, rt_id_order_rank(&p->codec->packed->order, label),
               RANK_BITS));
  if (place == 0 || p->codec->spec.kind == RT_CODEC_SAMPLED)
    RT_TRY(put(p, M_LEVEL, (uint64_t)level_of(row->label_logp[t]), LEVEL_BITS));
  return RT_OK;
}

/** Steps of a number that fields are kept in, at most 2^28. */
static int64_t in_steps(float x, float per_unit)
{
  const float most = 0x1p28F;
  return lrintf(fmaxf(-most, fminf(most, x * per_unit)));
}

static rt_err put_token(pen *p, const rt_logits_row *row, int64_t t,
                        int64_t begin)
{
  const rt_codec_spec *spec = &p->codec->spec;
  const size_t n = row->count[t];
  RT_TRY(put(p, M_COUNT, (uint64_t)spec->max_entries - n, COUNT_BITS));
  RT_TRY(take_items(p, row, begin, n));
  if (n > 0)
    RT_TRY(spec->kind == RT_CODEC_PACKED ? put_levels(p, n) : put_draws(p, n));
  RT_TRY(put(p, M_LSE,
             zigzag(in_steps(row->lse[t], 32.0F) - p->codec->packed->lse_base),
             LSE_BITS));
  RT_TRY(put_label(p, row, t, n));
  if (spec->entropy)
    RT_TRY(put(p, M_ENTROPY,
               (uint64_t)in_steps(fminf(row->entropy[t], 32.0F), 64.0F),
               ENTROPY_BITS));
  if (spec->deviation)
    RT_TRY(put(p, M_DEVIATION, (uint64_t)in_steps(row->deviation[t], 64.0F),
               DEVIATION_BITS));
  return RT_OK;
}

static rt_err put_row(pen *p, const rt_logits_row *row)
{
  int64_t begin = 0;
  RT_TRY(put(p, M_RANK, rt_id_order_rank(&p->codec->packed->order, row->tok[0]),
             RANK_BITS));
  for (int64_t t = 0; t < row->n_tokens; t++) {
    RT_TRY(put_token(p, row, t, begin));
    begin += row->count[t];
  }
  return RT_OK;
}

rt_err rt_codec_encode_packed(const rt_codec *codec, const rt_logits_row *row,
                              rt_bytes *out)
{
  pen p = {.codec = codec};
  RT_TRY(rt_codec_put_u32(out, (uint32_t)row->n_tokens));
  RT_TRY(rt_codec_put_u32(out, (uint32_t)row->n_entries));
  if (codec->spec.step)
    RT_TRY(rt_codec_put_u64(out, (uint64_t)row->step));
  rt_err err = put_row(&p, row);
  if (err == RT_OK)
    err = rt_rans_finish(&p.out, out);
  pen_clear(&p);
  return err;
}

/** --- decoding --- */

/** What decoding a row needs besides the codec. */
typedef struct eye {
  const struct rt_packed *k; // borrowed
  const rt_codec_spec *spec; // borrowed
  const char *name;          // borrowed
  rt_rans_in in;
  uint64_t *key; // owned [room]: level, or N less draws, << 32 | id
  size_t room;
  rt_logits_row *row; // borrowed
} eye;

static uint64_t take(eye *e, int model, int m)
{
  return rt_rans_take(&e->in, &e->k->model[model], &e->k->numbers[m]);
}

static rt_err room_for(eye *e, size_t n)
{
  if (n > e->room) {
    uint64_t *const more = realloc(e->key, 2 * n * sizeof *more);
    RT_CHECK(more != NULL, RT_ERR_MEM, "%zu entries", n);
    e->key = more;
    e->room = 2 * n;
  }
  return RT_OK;
}

/** Entries by rank into e->key; their upper halves are \a most less what is
 *  coded, which is at most \a span. */
static rt_err take_set(eye *e, size_t n, uint64_t most, uint64_t span,
                       int context_of_range)
{
  const rt_id_order *const o = &e->k->order;
  const rt_rans_model *const gaps = &e->k->model[M_GAP];
  const rt_rans_model *const values =
      &e->k->model[M_VALUE + context_of_range * RT_DENSITIES];
  const rt_rans_numbers *const gap_numbers = &e->k->numbers[GAP_BITS];
  const rt_rans_numbers *const value_numbers = &e->k->numbers[VALUE_BITS];
  const uint64_t vocab = e->spec->vocab;
  rt_rans_in in = e->in; // in registers, as its two states: one for gaps
  uint32_t a = in.x[in.turn], b = in.x[in.turn ^ 1];
  uint64_t next = 0;
  bool good = true;
  for (size_t i = 0; i < n && good; i++) {
    const unsigned context =
        rt_gap_context(rt_order_near(o, next), lg_left(e->k, n - i));
    const uint64_t rank =
        next + rt_rans_take_from(&in, &a, &gaps[context], gap_numbers);
    if (rank >= o->n_seen && rank >= vocab) {
      good = false;
      break;
    }
    const unsigned density = rt_order_near(o, rank) % RT_DENSITIES;
    const uint64_t v =
        rt_rans_take_from(&in, &b, &values[density], value_numbers);
    next = rank + 1;
    good = v <= span && (next < vocab || i + 1 == n);
    const uint32_t id =
        rank < o->n_seen ? o->id[rank] : rt_id_order_id(o, (uint32_t)rank);
    e->key[i] = (most - v) << 32 | id;
  }
  in.x[in.turn] = a;
  in.x[in.turn ^ 1] = b;
  e->in = in;
  RT_CHECK(good && !in.bad, RT_ERR_DATA,
           "%s: a token's %zu entries are no set of ids below %llu with values "
           "up to %llu",
           e->name, n, (unsigned long long)vocab, (unsigned long long)span);
  return RT_OK;
}

/** Keys of one token, whose upper halves are \a least to \a least + \a span,
 *  sorted into \a to: count, place, then order what has equal halves. */
static void sort_keys(const uint64_t *from, size_t n, uint64_t least,
                      uint64_t span, uint64_t *to)
{
  uint32_t at[N_LEVELS + 1];
  memset(at, 0, ((size_t)span + 2) * sizeof *at);
  for (size_t i = 0; i < n; i++)
    at[(from[i] >> 32) - least + 1]++;
  for (uint64_t k = 1; k <= span; k++)
    at[k] += at[k - 1];
  for (size_t i = 0; i < n; i++)
    to[at[(from[i] >> 32) - least]++] = from[i];
  for (size_t i = 1; i < n; i++) {
    const uint64_t moved = to[i];
    size_t k = i;
    for (; k > 0 && to[k - 1] > moved; k--)
      to[k] = to[k - 1];
    to[k] = moved;
  }
}

static rt_err take_levels(eye *e, size_t n, uint32_t *ids, float *logp)
{
  const struct rt_packed *k = e->k;
  uint64_t *const sorted = e->key + n;
  const uint64_t top = take(e, M_TOP, TOP_BITS);
  const uint64_t range = take(e, M_RANGE, RANGE_BITS);
  RT_CHECK(top < N_LEVELS && range < N_LEVELS - top, RT_ERR_DATA,
           "%s: levels %llu to %llu, expected less than %d", e->name,
           (unsigned long long)top, (unsigned long long)(top + range),
           N_LEVELS);
  RT_TRY(take_set(e, n, top + range, range, range_context((int)range)));
  sort_keys(e->key, n, top, range, sorted);
  float mass = 0.0F;
  for (size_t i = 0; i < n; i++) {
    ids[i] = (uint32_t)sorted[i];
    logp[i] = k->value[sorted[i] >> 32];
    mass += k->prob[sorted[i] >> 32];
  }
  RT_CHECK(mass <= rt_codec_max_mass, RT_ERR_DATA,
           "%s: %zu entries have mass %g, expected at most 1", e->name, n,
           (double)mass);
  return RT_OK;
}

static rt_err take_draws(eye *e, size_t n, uint32_t *ids, float *logp)
{
  const uint64_t n_draws = (uint64_t)e->spec->n_draws;
  uint64_t *const sorted = e->key + n;
  uint64_t sum = 0;
  RT_TRY(take_set(e, n, n_draws - 1, n_draws - 1, 0));
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

static rt_err take_rank(eye *e, uint32_t *id)
{
  const uint64_t rank = take(e, M_RANK, RANK_BITS);
  RT_CHECK(rank < e->spec->vocab, RT_ERR_DATA,
           "%s: rank %llu, expected less than %llu", e->name,
           (unsigned long long)rank, (unsigned long long)e->spec->vocab);
  *id = rt_id_order_id(&e->k->order, (uint32_t)rank);
  return RT_OK;
}

static rt_err take_label(eye *e, int64_t t, size_t n, const uint32_t *ids,
                         const float *logp)
{
  rt_logits_row *const row = e->row;
  const uint64_t place = take(e, M_LABEL, LABEL_BITS);
  RT_CHECK(place <= n, RT_ERR_DATA, "%s: place %llu of %zu entries", e->name,
           (unsigned long long)place, n);
  if (place > 0) {
    row->tok[t + 1] = ids[place - 1];
    row->label_logp[t] = logp[place - 1];
  } else
    RT_TRY(take_rank(e, &row->tok[t + 1]));
  if (place > 0 && e->spec->kind == RT_CODEC_PACKED)
    return RT_OK;
  const uint64_t level = take(e, M_LEVEL, LEVEL_BITS);
  RT_CHECK(level < N_LEVELS, RT_ERR_DATA,
           "%s: level %llu, expected less than %d", e->name,
           (unsigned long long)level, N_LEVELS);
  row->label_logp[t] = e->k->value[level];
  return RT_OK;
}

/** Room for \a n more entries after \a at of the row's \a all. */
static rt_err grow_row(rt_logits_row *row, int64_t at, int64_t n, int64_t all)
{
  if (row->ids != NULL && at + n <= row->cap_entries)
    return RT_OK;
  const int64_t twice = 2 * (at + n) + 1024;
  return rt_logits_row_entries(row, twice < all ? twice : all);
}

static rt_err take_token(eye *e, int64_t t, int64_t begin, int64_t all)
{
  const struct rt_packed *const k = e->k;
  rt_logits_row *const row = e->row;
  const uint64_t less = take(e, M_COUNT, COUNT_BITS);
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
      (float)(unzigzag(take(e, M_LSE, LSE_BITS)) + k->lse_base) / 32.0F;
  RT_TRY(take_label(e, t, n, ids, logp));
  if (e->spec->entropy)
    row->entropy[t] = (float)take(e, M_ENTROPY, ENTROPY_BITS) / 64.0F;
  if (e->spec->deviation)
    row->deviation[t] = (float)take(e, M_DEVIATION, DEVIATION_BITS) / 64.0F;
  return RT_OK;
}

static rt_err take_row(eye *e, int64_t n_entries)
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

rt_err rt_codec_decode_packed(const rt_codec *codec, rt_codec_in *in,
                              rt_logits_row *out)
{
  const rt_codec_spec *spec = &codec->spec;
  uint32_t n_tokens, n_entries;
  uint64_t step = 0;
  RT_TRY(rt_codec_take_u32(in, &n_tokens));
  RT_TRY(rt_codec_take_u32(in, &n_entries));
  if (spec->step)
    RT_TRY(rt_codec_take_u64(in, &step));
  // a symbol costs at least 1/360 of a bit: see RT_RANS_LEAST
  RT_CHECK(n_tokens <= spec->max_tokens && n_tokens / 4096 <= in->n &&
               n_entries / 4096 <= in->n,
           RT_ERR_DATA, "%s: %lu tokens, %lu entries in %zu bytes", in->name,
           (unsigned long)n_tokens, (unsigned long)n_entries, in->n);
  eye e = {.k = codec->packed, .spec = spec, .name = in->name, .row = out};
  RT_TRY(rt_rans_open(in->data + in->at, in->n - in->at, in->name, &e.in));
  out->n_tokens = n_tokens;
  out->n_entries = 0;
  out->step = (int64_t)step;
  RT_TRY(rt_logits_row_tokens(out, n_tokens));
  RT_TRY(rt_logits_row_optional(out, spec->entropy, spec->deviation));
  const rt_err err = take_row(&e, n_entries);
  free(e.key);
  return err;
}

/** --- tables --- */

static void fill_constants(struct rt_packed *k)
{
  for (int m = 0; m <= MAX_BITS; m++)
    rt_rans_numbers_init(m, &k->numbers[m]);
  for (unsigned left = 1; left < N_LEFT; left++)
    k->lg_left[left] = (uint16_t)rt_lg16(left);
  for (int i = 0; i < N_LEVELS; i++) {
    k->value[i] = value_of(i);
    k->prob[i] = expf(k->value[i]);
  }
}

void rt_packed_destroy(struct rt_packed *k)
{
  if (k == NULL)
    return;
  rt_id_order_clear(&k->order);
  free(k);
}

/** The middle of what log-sum-exps are: the mean will do. */
static int32_t find_base(const rt_logits_row *rows, int64_t n_rows)
{
  double sum = 0.0, n = 0.0;
  for (int64_t r = 0; r < n_rows; r++)
    for (int64_t t = 0; t < rows[r].n_tokens; t++) {
      sum += (double)in_steps(rows[r].lse[t], 32.0F);
      n += 1.0;
    }
  return n > 0.0 ? (int32_t)lrint(sum / n) : 0;
}

/** Ids of all entries and tokens, one after the other; the caller frees. */
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

/** Count what the rows would put, then make the models. */
static rt_err learn_models(const rt_codec *codec, const rt_logits_row *rows,
                           int64_t n_rows)
{
  uint32_t(*const count)[RT_RANS_SYMBOLS] = calloc(N_MODELS, sizeof *count);
  RT_CHECK(count != NULL, RT_ERR_MEM, "%d counts", N_MODELS);
  pen p = {.codec = codec, .out = {.count = count}};
  rt_err err = RT_OK;
  int64_t n_tokens = 0;
  for (int64_t r = 0; err == RT_OK && r < n_rows && n_tokens < model_tokens;
       r++) {
    err = put_row(&p, &rows[r]);
    n_tokens += rows[r].n_tokens;
  }
  pen_clear(&p);
  for (int i = 0; i < N_MODELS; i++)
    rt_rans_learn(count[i], &codec->packed->model[i]);
  free(count);
  return err;
}

rt_err rt_packed_learn(rt_codec *codec, const rt_logits_row *rows,
                       int64_t n_rows)
{
  struct rt_packed *const k = calloc(1, sizeof *k);
  codec->packed = k;
  RT_CHECK(k != NULL, RT_ERR_MEM, "tables of %zu bytes", sizeof *k);
  fill_constants(k);
  k->lse_base = find_base(rows, n_rows);
  uint32_t *ids = NULL;
  int64_t n;
  RT_TRY(gather_ids(rows, n_rows, &ids, &n));
  const rt_err err = rt_id_order_learn(codec->spec.vocab, ids, n, &k->order);
  free(ids);
  RT_TRY(err);
  return learn_models(codec, rows, n_rows);
}

rt_err rt_packed_load(rt_codec *codec, rt_codec_in *in)
{
  struct rt_packed *const k = calloc(1, sizeof *k);
  codec->packed = k;
  RT_CHECK(k != NULL, RT_ERR_MEM, "tables of %zu bytes", sizeof *k);
  fill_constants(k);
  uint32_t base;
  RT_TRY(rt_codec_take_u32(in, &base));
  k->lse_base = (int32_t)base;
  RT_CHECK(k->lse_base >= -(1 << 28) && k->lse_base <= 1 << 28, RT_ERR_DATA,
           "%s: a log-sum-exp of %d / 32 is the base", in->name, k->lse_base);
  RT_TRY(rt_id_order_load(codec->spec.vocab, in->data, in->n, &in->at, in->name,
                          &k->order));
  for (int i = 0; i < N_MODELS; i++)
    RT_TRY(rt_rans_load(in->data, in->n, &in->at, in->name, &k->model[i]));
  RT_CHECK(in->at == in->n, RT_ERR_DATA,
           "%s: %zu bytes after the last of the tables", in->name,
           in->n - in->at);
  return RT_OK;
}

rt_err rt_packed_store(const rt_codec *codec, rt_bytes *out)
{
  const struct rt_packed *const k = codec->packed;
  RT_TRY(rt_codec_put_u32(out, (uint32_t)k->lse_base));
  RT_TRY(rt_id_order_store(&k->order, out));
  for (int i = 0; i < N_MODELS; i++)
    RT_TRY(rt_rans_store(&k->model[i], out));
  return RT_OK;
}
