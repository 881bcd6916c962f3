/** \file id_order.c
 *  An order of ids by frequency. */
#include "io/codec/id_order.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

// ids that are looked up in a direct table
static const uint64_t max_dense = 1 << 22;
static const uint32_t max_seen = 1 << 24;
enum { GAP_BITS = 3, CLASS_BITS = 6 };
static const int bits_of[2] = {GAP_BITS, CLASS_BITS}; // of the two models

void rt_id_order_clear(rt_id_order *o)
{
  free(o->at);
  free(o->sorted);
  free(o->rank_of);
  free(o->dense);
  *o = (rt_id_order){0};
}

static uint64_t dense_ids(uint64_t vocab)
{
  return vocab < max_dense ? vocab : 0;
}

size_t rt_id_order_bytes(uint64_t vocab, const unsigned char *data, size_t n)
{
  uint32_t n_seen = 0; // the first field
  if (n >= sizeof n_seen)
    memcpy(&n_seen, data, sizeof n_seen);
  n_seen = n_seen < max_seen ? n_seen : 0; // rt_id_order_load() accepts no more
  const rt_id_order *o;
  return ((size_t)n_seen + 1) *
             (sizeof *o->at + sizeof *o->sorted + sizeof *o->rank_of) +
         ((size_t)dense_ids(vocab) + 1) * sizeof *o->dense;
}

/** Index of the first element of o->sorted that is not below \a id. */
static uint32_t place(const rt_id_order *o, uint32_t id)
{
  uint32_t low = 0, high = o->n_seen;
  while (low < high) {
    const uint32_t mid = low + (high - low) / 2;
    if (o->sorted[mid] < id)
      low = mid + 1;
    else
      high = mid;
  }
  return low;
}

uint32_t rt_id_order_rank(const rt_id_order *o, uint32_t id)
{
  if (id < o->n_dense && o->dense[id] > 0)
    return o->dense[id] - 1;
  const uint32_t at = place(o, id);
  if (at < o->n_seen && o->sorted[at] == id)
    return o->rank_of[at];
  return o->n_seen + (id - at);
}

uint32_t rt_id_order_id(const rt_id_order *o, uint32_t rank)
{
  if (rank < o->n_seen)
    return o->at[rank].id;
  // unseen id number u: add the number of seen ids that are below it
  const uint32_t u = rank - o->n_seen;
  uint32_t low = 0, high = o->n_seen;
  while (low < high) {
    const uint32_t mid = low + (high - low) / 2;
    if (o->sorted[mid] - mid <= u)
      low = mid + 1;
    else
      high = mid;
  }
  return u + low;
}

static rt_err allocate(rt_id_order *o, uint32_t n_seen)
{
  const size_t n = (size_t)n_seen + 1;
  o->n_seen = n_seen;
  o->at = malloc(n * sizeof *o->at);
  o->sorted = malloc(n * sizeof *o->sorted);
  o->rank_of = malloc(n * sizeof *o->rank_of);
  o->n_dense = dense_ids(o->vocab);
  o->dense = calloc((size_t)o->n_dense + 1, sizeof *o->dense);
  RT_CHECK(o->at && o->sorted && o->rank_of && o->dense, RT_ERR_MEM,
           "an order of %zu ids", n);
  return RT_OK;
}

/** Compute the ranks of o->sorted from the class of each; also sets o->end. */
static void rank_classes(rt_id_order *o, const uint8_t *class_of)
{
  uint64_t next[RT_ORDER_CLASSES] = {0}, at = 0;
  for (uint32_t i = 0; i < o->n_seen; i++)
    next[class_of[i]]++;
  for (int c = 0; c < o->n_classes; c++) {
    const uint64_t n = next[c];
    next[c] = at;
    at += n;
    o->end[c] = at;
  }
  o->end[o->n_classes - 1] = o->vocab;
  for (uint32_t i = 0; i < o->n_seen; i++) {
    const uint32_t rank = (uint32_t)next[class_of[i]]++;
    o->at[rank].id = o->sorted[i];
    o->rank_of[i] = rank;
    if (o->sorted[i] < o->n_dense)
      o->dense[o->sorted[i]] = rank + 1;
  }
}

/** Distinct ids in ascending order, and the number of occurrences of each. */
typedef struct counted {
  uint32_t *id, *times; // owned [n]
  uint32_t n;
} counted;

/** Set o->at[].near, once ends and masses are known. */
static void fill_near(rt_id_order *o)
{
  int c = 0;
  for (uint32_t rank = 0; rank < o->n_seen; rank++) {
    while (rank >= o->end[c])
      c++;
    o->at[rank].near = (uint16_t)rt_order_near_of(o, c, rank);
    if (rank > 0)
      o->at[rank - 1].after = o->at[rank].near;
  }
  if (o->n_seen > 0) // not used
    o->at[o->n_seen - 1].after = 0;
}

static int by_id(const void *a, const void *b)
{
  const uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
  return (x > y) - (x < y);
}

/** Count with one counter per id, for vocabularies of usual size. */
static rt_err count_all(uint64_t vocab, const uint32_t *ids, int64_t n,
                        counted *out)
{
  uint32_t *const times = calloc((size_t)vocab, sizeof *times);
  RT_CHECK(times != NULL, RT_ERR_MEM, "counts of %llu ids",
           (unsigned long long)vocab);
  for (int64_t i = 0; i < n; i++)
    times[ids[i]]++;
  for (uint64_t id = 0; id < vocab; id++)
    if (times[id] > 0) {
      out->id[out->n] = (uint32_t)id;
      out->times[out->n++] = times[id];
    }
  free(times);
  return RT_OK;
}

/** Count by sorting, for larger vocabularies. */
static rt_err count_sorted(const uint32_t *ids, int64_t n, counted *out)
{
  uint32_t *const all = malloc(((size_t)n + 1) * sizeof *all);
  RT_CHECK(all != NULL, RT_ERR_MEM, "%lld ids of a sample", (long long)n);
  if (n > 0)
    memcpy(all, ids, (size_t)n * sizeof *all);
  qsort(all, (size_t)n, sizeof *all, by_id);
  for (int64_t i = 0; i < n; i++) {
    if (i == 0 || all[i] != all[i - 1]) {
      out->id[out->n] = all[i];
      out->times[out->n++] = 0;
    }
    out->times[out->n - 1]++;
  }
  free(all);
  return RT_OK;
}

/** Compute for each class the mass of all later classes, in units of the mass
 *  of one of its ids.  Unseen ids together get the mass of ids seen once
 *  (Good-Turing). */
static void weigh(rt_id_order *o, const uint8_t *class_of, const counted *x)
{
  double mass[RT_ORDER_CLASSES] = {0.0}, once = 1.0, after = 0.0;
  for (uint32_t i = 0; i < x->n; i++) {
    mass[class_of[i]] += x->times[i];
    once += x->times[i] == 1;
  }
  mass[o->n_classes - 1] = once;
  for (int c = o->n_classes - 1; c >= 0; c--) {
    const uint64_t n = o->end[c] - (c > 0 ? o->end[c - 1] : 0);
    const double one = n > 0 ? mass[c] / (double)n : 1.0;
    o->beyond[c] = (uint32_t)fmin(after / one + 0.5, 4e9);
    after += n > 0 ? mass[c] : 0.0;
  }
}

static rt_err order_counted(const counted *x, rt_id_order *o)
{
  uint32_t max = 0;
  RT_TRY(allocate(o, x->n));
  uint8_t *const class_of = malloc((size_t)x->n + 1);
  RT_CHECK(class_of != NULL, RT_ERR_MEM, "classes of %u ids", x->n);
  o->n_classes = 1;
  for (uint32_t i = 0; i < x->n; i++)
    max = x->times[i] > max ? x->times[i] : max;
  for (uint32_t i = 0; i < x->n; i++) {
    const double c = 4.0 * log2((double)max / (double)x->times[i]);
    o->sorted[i] = x->id[i];
    class_of[i] = (uint8_t)fmin(c + 0.5, RT_ORDER_CLASSES - 2);
    if (class_of[i] + 2 > o->n_classes)
      o->n_classes = class_of[i] + 2;
  }
  rank_classes(o, class_of);
  weigh(o, class_of, x);
  fill_near(o);
  free(class_of);
  return RT_OK;
}

rt_err rt_id_order_learn(uint64_t vocab, const uint32_t *ids, int64_t n,
                         rt_id_order *out)
{
  *out = (rt_id_order){.vocab = vocab};
  n = n < max_seen ? n : max_seen;
  const bool dense = vocab <= max_dense;
  const size_t room = (dense && vocab < (uint64_t)n ? vocab : (size_t)n) + 1;
  counted x = {malloc(room * sizeof *x.id), malloc(room * sizeof *x.times), 0};
  rt_err err = RT_OK;
  if (x.id == NULL || x.times == NULL)
    err = RT_FAIL(RT_ERR_MEM, "counts of %zu ids", room);
  else
    err = dense ? count_all(vocab, ids, n, &x) : count_sorted(ids, n, &x);
  if (err == RT_OK)
    err = order_counted(&x, out);
  free(x.id);
  free(x.times);
  if (err != RT_OK)
    rt_id_order_clear(out);
  return err;
}

static int class_at(const rt_id_order *o, uint32_t rank)
{
  int c = 0;
  while (rank >= o->end[c])
    c++;
  return c;
}

static rt_err put_ids(const rt_id_order *o, const rt_rans_model models[2],
                      rt_rans_out *out)
{
  uint32_t next = 0;
  for (uint32_t i = 0; i < o->n_seen; i++) {
    RT_TRY(rt_rans_put(out, models, 0, o->sorted[i] - next, GAP_BITS));
    RT_TRY(rt_rans_put(out, models, 1, (uint64_t)class_at(o, o->rank_of[i]),
                       CLASS_BITS));
    next = o->sorted[i] + 1;
  }
  return RT_OK;
}

static rt_err store_ids(const rt_id_order *o, rt_rans_model models[2],
                        rt_rans_out *coder, rt_bytes *out)
{
  uint32_t count[2][RT_RANS_SYMBOLS] = {{0}};
  coder->count = count;
  RT_TRY(put_ids(o, models, coder));
  coder->count = NULL;
  for (int i = 0; i < 2; i++) {
    rt_rans_learn(count[i], bits_of[i], &models[i]);
    RT_TRY(rt_rans_store(&models[i], out));
  }
  RT_TRY(put_ids(o, models, coder));
  const size_t at = out->n;
  RT_TRY(rt_bytes_put_u32(out, 0));
  RT_TRY(rt_rans_finish(coder, out));
  const uint32_t n = (uint32_t)(out->n - at - 4);
  memcpy(out->data + at, &n, sizeof n);
  return RT_OK;
}

rt_err rt_id_order_store(const rt_id_order *o, rt_bytes *out)
{
  RT_TRY(rt_bytes_put_u32(out, o->n_seen));
  RT_TRY(rt_bytes_put_u32(out, (uint32_t)o->n_classes));
  for (int c = 0; c < o->n_classes; c++)
    RT_TRY(rt_bytes_put_u32(out, o->beyond[c]));
  rt_rans_out coder = {0};
  rt_rans_model *const models = calloc(2, sizeof *models);
  rt_err err = models != NULL ? store_ids(o, models, &coder, out)
                              : RT_FAIL(RT_ERR_MEM, "models of ids");
  rt_rans_out_clear(&coder);
  free(models);
  return err;
}

/** Read ids and classes from the stream. */
static rt_err take_ids(rt_id_order *o, rt_rans_in *in,
                       const rt_rans_model models[2], const char *name,
                       uint8_t *class_of)
{
  uint64_t next = 0;
  for (uint32_t i = 0; i < o->n_seen; i++) {
    const uint64_t id = next + rt_rans_take(in, &models[0]);
    const uint64_t c = rt_rans_take(in, &models[1]);
    RT_CHECK(!in->bad && id < o->vocab && c + 1 < (uint64_t)o->n_classes,
             RT_ERR_DATA,
             "%s: id %llu of class %llu, expected less than %llu "
             "and %d",
             name, (unsigned long long)id, (unsigned long long)c,
             (unsigned long long)o->vocab, o->n_classes - 1);
    o->sorted[i] = (uint32_t)id;
    class_of[i] = (uint8_t)c;
    next = id + 1;
  }
  RT_TRY(rt_rans_close(in, name));
  rank_classes(o, class_of);
  fill_near(o);
  return RT_OK;
}

static rt_err load_ids(rt_id_order *o, rt_bytes_in *in, rt_rans_model models[2])
{
  rt_rans_in stream;
  uint32_t n;
  const unsigned char *data;
  for (int i = 0; i < 2; i++)
    RT_TRY(rt_rans_load(in->data, in->n, &in->at, in->name, bits_of[i],
                        &models[i]));
  RT_TRY(rt_bytes_take_u32(in, &n));
  RT_TRY(rt_bytes_take(in, n, &data));
  RT_TRY(rt_rans_open(data, n, in->name, &stream));
  uint8_t *const class_of = malloc((size_t)o->n_seen + 1);
  RT_CHECK(class_of != NULL, RT_ERR_MEM, "classes of %u ids", o->n_seen);
  const rt_err err = take_ids(o, &stream, models, in->name, class_of);
  free(class_of);
  return err;
}

static rt_err load(rt_id_order *o, rt_bytes_in *in)
{
  uint32_t n_seen, n_classes;
  RT_TRY(rt_bytes_take_u32(in, &n_seen));
  RT_TRY(rt_bytes_take_u32(in, &n_classes));
  RT_CHECK(n_seen <= o->vocab && n_seen <= max_seen && n_classes > 0 &&
               n_classes <= RT_ORDER_CLASSES,
           RT_ERR_DATA, "%s: %u ids in %u classes", in->name, n_seen,
           n_classes);
  // an id takes two symbols of at least 1/360 bit each, see RT_RANS_LEAST
  RT_CHECK(n_seen / 2048 <= in->n, RT_ERR_DATA, "%s: %u ids in %zu bytes",
           in->name, n_seen, in->n);
  o->n_classes = (int)n_classes;
  RT_TRY(allocate(o, n_seen));
  for (uint32_t c = 0; c < n_classes; c++)
    RT_TRY(rt_bytes_take_u32(in, &o->beyond[c]));
  rt_rans_model *const models = malloc(2 * sizeof *models);
  RT_CHECK(models != NULL, RT_ERR_MEM, "models of ids");
  const rt_err err = load_ids(o, in, models);
  free(models);
  return err;
}

rt_err rt_id_order_load(uint64_t vocab, const unsigned char *data, size_t n,
                        size_t *at, const char *name, rt_id_order *out)
{
  rt_bytes_in in = {.data = data, .n = n, .at = *at, .name = name};
  *out = (rt_id_order){.vocab = vocab};
  const rt_err err = load(out, &in);
  *at = in.at;
  if (err != RT_OK)
    rt_id_order_clear(out);
  return err;
}
