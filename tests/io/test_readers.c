/** \file test_readers.c
 *  Datasets of every encoding at the edges of what they may hold: one row, no
 *  entries, one id, ids up to 2^32, wide rows, few and many draws, optional
 *  fields, shards of one row.  Read back here; and left in RT_TEST_READERS, if
 *  that is set, for tests/scripts/script_h5py.sh to read with the program of
 *  doc/formats.md. */
#include "support/logits_scene.h"

/** One dataset. */
typedef struct edge {
  const char *name;
  int64_t seq, vocab, n_rows, shard_rows;
  int64_t top_k;    // of exact, packed; 0: sampled
  int64_t draws;    // of sampled
  int64_t distinct; // ids of a token that draws come from, at most
  bool entropy, deviation, step, empty;
  bool large; // of one encoding only: a reader in Python takes its time
  bool rare;  // one id in every token, with a rare one: the last model is used
} edge;

static const edge edges[] = {
    {"one_row", 5, 1000, 1, 1, .top_k = 20},
    {"one_token", 1, 1000, 9, 4, .top_k = 20},
    {"no_entries", 6, 1000, 5, 2, .top_k = 20, .empty = true},
    {"one_id", 7, 1, 3, 2, .top_k = 20},
    {"two_ids", 7, 2, 30, 30, .top_k = 20},
    {"odd_vocab", 33, 257, 11, 5, .top_k = 50},
    {"all_ids", 4, 300, 6, 6, .top_k = 300},
    {"many_ids", 9, 4294967296, 8, 3, .top_k = 40},
    {"wide", 2, 70000, 3, 2, .top_k = 5000},
    {"long", 2000, 50000, 2, 1, .top_k = 9},
    {"entropy", 8, 1000, 9, 4, .top_k = 20, .entropy = true},
    {"deviation", 8, 1000, 9, 4, .top_k = 20, .deviation = true},
    {"fields_step", 8, 1000, 9, 4, .top_k = 20, .entropy = true,
     .deviation = true, .step = true},
    {"one_entry", 8, 1000, 9, 9, .top_k = 1},
    {"chunks", 64, 3000, 12, 12, .top_k = 700, .large = true},
    {"draw_1", 8, 1000, 9, 4, .draws = 1, .distinct = 1},
    {"draw_50", 8, 1000, 9, 4, .draws = 50, .distinct = 30},
    {"draw_2048", 8, 100000, 5, 4, .draws = 2048, .distinct = 2048},
    {"draw_one_id", 8, 1, 5, 4, .draws = 50, .distinct = 1},
    {"draw_two_ids", 8, 2, 5, 4, .draws = 3, .distinct = 2, .entropy = true,
     .deviation = true, .step = true},
    {"draw_many_ids", 8, 4294967296, 5, 5, .draws = 9, .distinct = 9,
     .step = true},
    {"rare_ids", 1000, 30000, 6, 6, .top_k = 2, .rare = true},
};

static rt_logits_info info_of_edge(const edge *e, const char *encoding)
{
  rt_logits_info info = info_of(e->seq, e->vocab, e->n_rows, e->shard_rows);
  info.draws = e->draws;
  info.top_k = e->draws > 0 ? e->draws : e->top_k;
  info.top_p = 1.0;
  info.entropy = e->entropy;
  info.deviation = e->deviation;
  info.step = e->step;
  info.lanes = e->step;
  strcpy(info.encoding, encoding);
  return info;
}

/** Entries of a token in falling order, of a mass below 1. */
static void put_entries(const edge *e, const uint32_t *x, rt_logits_row *row,
                        int64_t t)
{
  const uint64_t V = (uint64_t)e->vocab;
  uint64_t most = (uint64_t)(e->draws > 0 ? e->distinct : e->top_k);
  most = most < V ? most : V;
  uint64_t k = e->draws > 0 ? 1 + x[1] % most : x[1] % (most + 1);
  if (e->empty)
    k = 0;
  if (e->rare)
    k = 2;
  row->count[t] = (uint32_t)k;
  if (e->rare) {
    const uint32_t ids[] = {0, 1 + x[2] % (uint32_t)(V - 1)};
    const float logp[] = {-0.02F, -9.0F - (float)x[3] * 1e-9F};
    memcpy(row->ids + row->n_entries, ids, sizeof ids);
    memcpy(row->logp + row->n_entries, logp, sizeof logp);
    row->n_entries += 2;
    return;
  }
  for (uint64_t i = 0; i < k; i++) {
    const double first = (double)(e->draws - (int64_t)k + 1);
    row->ids[row->n_entries] = (uint32_t)((x[2] % V + i * (V / most)) % V);
    row->logp[row->n_entries++] =
        e->draws == 0 ? (float)(-log((double)V + 1) - 0.01 * (double)i)
                      : (float)log((i == 0 ? first : 1.0) / (double)e->draws);
  }
}

static rt_err edge_row(const edge *e, int64_t i, rt_logits_row *row)
{
  const int64_t T = e->seq;
  const int64_t most = e->draws > 0 ? e->distinct : e->top_k;
  RT_TRY(rt_logits_row_tokens(row, T));
  RT_TRY(rt_logits_row_optional(
      row,
      (rt_logits_optional){.entropy = e->entropy, .deviation = e->deviation}));
  RT_TRY(rt_logits_row_entries(row, T * most));
  row->n_tokens = T;
  row->n_entries = 0;
  row->step = 100 + i;
  row->stream_row = 7 * i;
  for (int64_t t = 0; t <= T; t++) {
    uint32_t x[4];
    rt_rng_bits(5, RT_RNG_TEST, (uint64_t)i, (uint64_t)t, x);
    row->tok[t] = (uint32_t)(x[0] % (uint64_t)e->vocab);
    if (t == T)
      break;
    row->lse[t] = (float)x[2] * 1e-8F - 9.0F;
    row->label_logp[t] = -(float)x[3] * 4e-9F;
    if (e->entropy)
      row->entropy[t] = (float)x[1] * 2e-9F;
    if (e->deviation)
      row->deviation[t] = (float)x[2] * 1e-9F;
    put_entries(e, x, row, t);
  }
  // every other label is among the entries
  for (int64_t t = 0, begin = 0; t < T; begin += row->count[t++])
    if (t % 2 == 0 && row->count[t] > 0)
      row->tok[t + 1] = row->ids[begin + row->count[t] - 1];
  sort_ties(row);
  return RT_OK;
}

static rt_err write_edge(const edge *e, const rt_logits_info *info,
                         const char *to)
{
  rt_logits_writer *w = NULL;
  rt_logits_row row = {0};
  RT_TRY(rt_logits_create(to, info, "deck: 1\n"));
  rt_err err = rt_logits_writer_open(to, &w);
  for (int64_t s = 0; err == RT_OK && s < rt_logits_n_shards(info); s++) {
    err = rt_logits_writer_begin(w, s);
    const int64_t n = rt_logits_shard_rows(info, s);
    for (int64_t r = 0; err == RT_OK && r < n; r++) {
      err = edge_row(e, s * info->shard_rows + r, &row);
      if (err == RT_OK)
        err = rt_logits_writer_add(w, &row);
    }
    if (err == RT_OK)
      err = rt_logits_writer_seal(w);
  }
  rt_logits_row_clear(&row);
  rt_logits_writer_close(&w);
  return err == RT_OK ? rt_logits_finish(to) : err;
}

/** What was read, for another reader to compare with. */
static void keep_row(const rt_logits_row *row, FILE *to)
{
  const size_t T = (size_t)row->n_tokens, n = (size_t)row->n_entries;
  fwrite(row->tok, 4, T + 1, to);
  fwrite(row->count, 4, T, to);
  fwrite(row->lse, 4, T, to);
  fwrite(row->label_logp, 4, T, to);
  fwrite(row->ids, 4, n, to);
  fwrite(row->logp, 4, n, to);
  if (row->entropy != NULL)
    fwrite(row->entropy, 4, T, to);
  if (row->deviation != NULL)
    fwrite(row->deviation, 4, T, to);
}

/** Rows that cannot be read, break a rule, or have other ids.  What was read
 *  goes into FROM/rows.bin. */
static int64_t n_bad(const edge *e, const char *from)
{
  char path[RT_PATH_MAX];
  RT_OKAY(rt_path_join(path, from, "rows.bin"));
  FILE *const to = fopen(path, "wb");
  CU_ASSERT_PTR_NOT_NULL_FATAL(to);
  rt_logits *ds;
  rt_logits_row row = {0}, want = {0};
  int64_t bad = 0;
  RT_OKAY(rt_logits_open(MPI_COMM_SELF, from, RT_LOGITS_FINISHED, &ds));
  for (int64_t i = 0; i < e->n_rows; i++) {
    RT_OKAY(edge_row(e, i, &want));
    const size_t T = (size_t)e->seq;
    bad += rt_logits_read(ds, i, &row) != RT_OK ||
           rt_logits_verify_row(ds, i, &row) != RT_OK ||
           row.n_entries != want.n_entries ||
           memcmp(row.tok, want.tok, 4 * (T + 1)) != 0 ||
           memcmp(row.count, want.count, 4 * T) != 0;
    keep_row(&row, to);
  }
  CU_ASSERT_EQUAL(fclose(to), 0);
  rt_logits_row_clear(&row);
  rt_logits_row_clear(&want);
  rt_logits_close(&ds);
  return bad;
}

static void test_edges(void)
{
  const char *const kept = getenv("RT_TEST_READERS");
  begin();
  for (size_t i = 0; i < sizeof edges / sizeof edges[0]; i++) {
    static const char *const truncated[] = {"exact", "packed"};
    const edge *const e = &edges[i];
    for (int k = 0; k < (e->draws > 0 || e->large ? 1 : 2); k++) {
      const char *const encoding = e->draws > 0 ? "sampled" : truncated[k];
      const rt_logits_info info = info_of_edge(e, encoding);
      char to[RT_PATH_MAX], name[64];
      snprintf(name, sizeof name, "%s.%s", e->name, encoding);
      RT_OKAY(rt_path_join(to, kept != NULL ? kept : folder, name));
      RT_OKAY(write_edge(e, &info, to));
      CU_ASSERT_EQUAL(n_bad(e, to), 0);
    }
  }
  scratch_remove(folder);
}

RT_TEST_MAIN("readers", {"datasets at the edges", test_edges})
