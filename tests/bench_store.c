/** \file bench_store.c
 *  Sizes and speeds of the encodings for the rows of an exact dataset, as JSON:
 *    bench_store FOLDER KIND TOP_K [N_DRAWS]
 *  All bytes are counted: records, tables, offsets and hashes.  Uses one core.
 */
#include "base/clock.h"
#include "base/rng.h"
#include "kernels/truncate.h"
#include "io/common/h5_child.h"
#include "io/logits/logits.h"
#include "support/logits_rows.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { N_TIMES = 3 };

typedef struct bench {
  rt_logits *ds; // owned
  rt_codec_spec spec;
  rt_logits_row *row; // owned [n_rows], narrowed
  int64_t n_rows, n_tokens, n_entries;
} bench;

static int by_size(const void *a, const void *b)
{
  const double x = *(const double *)a, y = *(const double *)b;
  return (x > y) - (x < y);
}

static double median(double *x)
{
  qsort(x, N_TIMES, sizeof *x, by_size);
  return x[N_TIMES / 2];
}

/** Draw from the kept entries, renormalised, which is sufficient for sizes. */
static void draw(const bench *b, int64_t r, rt_logits_row *row)
{
  int64_t from = 0, to = 0;
  for (int64_t t = 0; t < row->n_tokens; t++) {
    const int64_t n = row->count[t];
    double mass = 0.0;
    uint32_t *const times = calloc((size_t)n + 1, sizeof *times);
    uint32_t *const ids = malloc(((size_t)n + 1) * sizeof *ids);
    memcpy(ids, row->ids + from, (size_t)n * sizeof *ids);
    for (int64_t i = 0; i < n; i++)
      mass += exp((double)row->logp[from + i]);
    for (int64_t d = 0; d < b->spec.n_draws; d++) {
      uint32_t x[4];
      rt_rng_bits(7, RT_RNG_TEST, (uint64_t)(r * row->n_tokens + t),
                  (uint64_t)d, x);
      double u = (double)x[0] * 0x1p-32 * mass;
      int64_t i = 0;
      while (i < n - 1 && u >= exp((double)row->logp[from + i]))
        u -= exp((double)row->logp[from + i++]);
      times[i]++;
    }
    uint32_t kept = 0;
    for (uint32_t c = (uint32_t)b->spec.n_draws; c > 0; c--) {
      for (int64_t i = 0; i < n; i++)
        if (times[i] == c) {
          row->ids[to] = ids[i];
          row->logp[to++] = (float)log((double)c / (double)b->spec.n_draws);
          kept++;
        }
    }
    row->count[t] = kept;
    free(times);
    free(ids);
    from += n;
  }
  row->n_entries = to;
  sort_ties(row);
}

static void narrow(const bench *b, rt_logits_row *row)
{
  const rt_truncation rule = {1.0, b->spec.max_entries};
  int64_t from = 0, to = 0;
  for (int64_t t = 0; t < row->n_tokens; t++) {
    const uint32_t count = row->count[t];
    const size_t n = (size_t)rt_truncate_count(row->logp + from, count, rule);
    memmove(row->ids + to, row->ids + from, n * sizeof *row->ids);
    memmove(row->logp + to, row->logp + from, n * sizeof *row->logp);
    row->count[t] = (uint32_t)n;
    from += count;
    to += (int64_t)n;
  }
  row->n_entries = to;
}

static rt_err read_rows(bench *b)
{
  const rt_logits_info *info = rt_logits_about(b->ds);
  b->row = calloc((size_t)info->n_rows, sizeof *b->row);
  RT_CHECK(b->row != NULL, RT_ERR_MEM, "rows");
  for (int64_t r = 0; r < info->n_rows; r++) {
    RT_TRY(rt_logits_read(b->ds, r, &b->row[r]));
    b->n_rows++;
    if (b->spec.kind == RT_CODEC_SAMPLED)
      draw(b, r, &b->row[r]);
    else
      narrow(b, &b->row[r]);
    b->n_tokens += b->row[r].n_tokens;
    b->n_entries += b->row[r].n_entries;
  }
  return RT_OK;
}

/** Position of \a id in \a ids [n], searched near \a from, because only entries
 *  with similar log-probs change places; n if absent. */
static uint32_t find_near(const uint32_t *ids, uint32_t n, uint32_t from,
                          uint32_t id)
{
  for (uint32_t d = 0; d < n; d++) {
    if (from + d < n && ids[from + d] == id)
      return from + d;
    if (d <= from && ids[from - d] == id)
      return from - d;
  }
  return n;
}

/** KL of one token's exact from its decoded entries, both renormalised; ids may
 *  be in a different order where log-probs are close. */
static double kl_of(const uint32_t *ids, const float *logp,
                    const uint32_t *ids_d, const float *logp_d, uint32_t n)
{
  double mass = 0.0, mass_d = 0.0, kl = 0.0;
  for (uint32_t i = 0; i < n; i++) {
    mass += exp((double)logp[i]);
    mass_d += exp((double)logp_d[i]);
  }
  for (uint32_t i = 0; i < n; i++) {
    const uint32_t k = find_near(ids_d, n, i, ids[i]);
    if (k == n)
      return INFINITY;
    kl += exp((double)logp[i]) / mass *
          ((double)logp[i] - log(mass) - (double)logp_d[k] + log(mass_d));
  }
  return kl;
}

static void compare(const rt_logits_row *a, const rt_logits_row *b, double *sum,
                    double *most)
{
  int64_t at = 0;
  for (int64_t t = 0; t < a->n_tokens; t++) {
    const double kl = a->count[t] == b->count[t]
                          ? kl_of(a->ids + at, a->logp + at, b->ids + at,
                                  b->logp + at, a->count[t])
                          : INFINITY;
    *sum += kl;
    *most = fmax(*most, kl);
    at += a->count[t];
  }
}

/** Records of all rows, shard by shard, each with its own tables. */
typedef struct encoded {
  rt_codec **codec;  // [n_shards]
  rt_bytes *records; // [n_shards]
  size_t *ptr;       // [n_rows] in the shard's records
  int64_t n_shards, shard_rows, bytes;
} encoded;

static rt_err encode(const bench *b, encoded *e, double *seconds)
{
  *seconds = 0.0;
  e->bytes = 0;
  for (int64_t s = 0; s < e->n_shards; s++) {
    const int64_t first = s * e->shard_rows;
    const int64_t n =
        b->n_rows - first < e->shard_rows ? b->n_rows - first : e->shard_rows;
    int64_t sample = 0, tokens = 0;
    while (sample < n && tokens < 65536)
      tokens += b->row[first + sample++].n_tokens;
    const double since = rt_now_s();
    rt_codec_destroy(&e->codec[s]);
    RT_TRY(rt_codec_learn(&b->spec, b->row + first, sample, &e->codec[s]));
    e->records[s].n = 0;
    for (int64_t r = first; r < first + n; r++) {
      e->ptr[r] = e->records[s].n;
      RT_TRY(rt_codec_encode(e->codec[s], &b->row[r], &e->records[s]));
    }
    *seconds += rt_now_s() - since;
    rt_bytes tables = {0};
    RT_TRY(rt_codec_store(e->codec[s], &tables));
    e->bytes += (int64_t)(e->records[s].n + tables.n) + 16 * n;
    rt_bytes_clear(&tables);
  }
  return RT_OK;
}

static rt_err decode(const bench *b, const encoded *e, bool look,
                     double *seconds, double *kl, double *kl_most)
{
  rt_logits_row row = {0};
  uint64_t hashes = 0;
  const double since = rt_now_s();
  for (int64_t r = 0; r < b->n_rows; r++) {
    const int64_t s = r / e->shard_rows;
    const bool last = r + 1 == b->n_rows || (r + 1) % e->shard_rows == 0;
    const unsigned char *at = e->records[s].data + e->ptr[r];
    const size_t n = (last ? e->records[s].n : e->ptr[r + 1]) - e->ptr[r];
    hashes += rt_hash_xxh3(at, n);
    RT_TRY(rt_codec_decode(e->codec[s], at, n, "record", &row));
    if (look)
      compare(&b->row[r], &row, kl, kl_most);
  }
  *seconds = rt_now_s() - since;
  rt_logits_row_clear(&row);
  return hashes != 1 ? RT_OK : RT_FAIL(RT_ERR_INTERNAL, "unlikely");
}

static rt_err allocate(const bench *b, encoded *e)
{
  e->shard_rows = rt_logits_about(b->ds)->shard_rows;
  e->n_shards = (b->n_rows - 1) / e->shard_rows + 1;
  e->codec = calloc((size_t)e->n_shards, sizeof(rt_codec *));
  e->records = calloc((size_t)e->n_shards, sizeof *e->records);
  e->ptr = calloc((size_t)b->n_rows, sizeof *e->ptr);
  RT_CHECK(e->codec && e->records && e->ptr, RT_ERR_MEM, "records");
  return RT_OK;
}

static void clear(encoded *e)
{
  for (int64_t s = 0; e->codec != NULL && s < e->n_shards; s++)
    rt_codec_destroy(&e->codec[s]);
  for (int64_t s = 0; e->records != NULL && s < e->n_shards; s++)
    rt_bytes_clear(&e->records[s]);
  free(e->codec);
  free(e->records);
  free(e->ptr);
}

static rt_err measure(const bench *b, encoded *e)
{
  double t_encode[N_TIMES], t_decode[N_TIMES], kl = 0.0, most = 0.0, once;
  RT_TRY(allocate(b, e));
  for (int i = 0; i < N_TIMES; i++) {
    RT_TRY(encode(b, e, &t_encode[i]));
    RT_TRY(decode(b, e, false, &t_decode[i], NULL, NULL));
  }
  if (b->spec.kind == RT_CODEC_PACKED)
    RT_TRY(decode(b, e, true, &once, &kl, &most));
  const double tokens = (double)b->n_tokens, entries = (double)b->n_entries;
  printf("{\"tokens\": %.0f, \"entries\": %.0f, \"bytes\": %lld, "
         "\"bytes_per_entry\": %.4f, \"bytes_per_token\": %.2f, "
         "\"encode_tokens_per_s\": %.0f, \"decode_tokens_per_s\": %.0f, "
         "\"kl\": %.3e, \"kl_max\": %.3e}\n",
         tokens, entries, (long long)e->bytes, (double)e->bytes / entries,
         (double)e->bytes / tokens, tokens / median(t_encode),
         tokens / median(t_decode), kl / tokens, most);
  return RT_OK;
}

static rt_err run(int argc, char **argv, bench *b)
{
  RT_CHECK(argc >= 4, RT_ERR_USAGE,
           "usage: bench_store FOLDER packed|sampled|exact TOP_K [N_DRAWS]");
  RT_TRY(rt_logits_open(MPI_COMM_SELF, argv[1], RT_LOGITS_FINISHED, &b->ds));
  const rt_logits_info *info = rt_logits_about(b->ds);
  RT_TRY(rt_logits_spec(argv[1], info, &b->spec));
  RT_TRY(rt_codec_kind_parse(argv[2], &b->spec.kind));
  b->spec.max_entries = atoll(argv[3]);
  b->spec.n_draws = argc > 4 ? atoll(argv[4]) : 0;
  RT_TRY(read_rows(b));
  encoded e = {0};
  const rt_err err = measure(b, &e);
  clear(&e);
  return err;
}

int main(int argc, char **argv)
{
  bench b = {0};
  rt_err err = rt_h5_child_start(); // a fork, so before MPI
  MPI_Init(&argc, &argv);
  if (err == RT_OK)
    err = run(argc, argv, &b);
  if (err != RT_OK)
    fprintf(stderr, "bench_store: %s\n", rt_err_text());
  for (int64_t r = 0; r < b.n_rows; r++)
    rt_logits_row_clear(&b.row[r]);
  free(b.row);
  rt_logits_close(&b.ds);
  MPI_Finalize();
  rt_h5_child_stop();
  return err == RT_OK ? 0 : 1;
}
