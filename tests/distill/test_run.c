/** \file test_run.c
 *  Capture: the same entries on any number of groups, near ones over tp, and
 *  going on after a stop.
 *  ranks: 1 2 4 */
#include "distill/capture/capture.h"
#include "distill/capture/capture_size.h"
#include "support/scene.h"

#include <math.h>

enum { N_ROWS = 22, SHARD_ROWS = 4, MICRO_ROWS = 3, N_SHARDS = 6 };

// The hooks of a run have no argument of ours: what they do stands here.
static int n_beats;  // micro-batches of this rank
static int n_before; // questions that stop_asked answers with no

static void count_beat(int64_t step, const char *phase)
{
  (void)step;
  n_beats += strcmp(phase, "capture") == 0;
}

static bool stop_soon(void)
{
  return n_before-- <= 0;
}

static const rt_hooks counting = {scene_on_fatal, count_beat, scene_on_wait,
                                  stop_soon};

/** Capture into \a folder; \a n_shards of a group before it is told to stop. */
static rt_err capture(const scene *s, const rt_comm *world, const char *folder,
                      int tp, int n_shards)
{
  char text[4 * RT_PATH_MAX];
  rt_deck *deck = NULL;
  rt_job job;
  snprintf(text, sizeof text,
           "run: {threads: 1}\n"
           "data: {files: [%s], seq: %d, eot: 0}\n"
           "teacher: {weights: %s, tp: %d}\n"
           "capture: {dir: \"%s\", rows: %d, shard_rows: %d, micro_rows: %d,\n"
           "  top_p: 0.9, top_k: 40, encoding: exact}\n",
           s->corpus, SCENE_T, s->teacher, tp, folder, N_ROWS, SHARD_ROWS,
           MICRO_ROWS);
  n_beats = 0;
  n_before = n_shards;
  RT_OKAY(rt_deck_parse("test", text, 0, NULL, &deck));
  rt_err err = rt_job_init(&job, deck, world, &counting,
                           RT_NEED_TEACHER | RT_NEED_CORPUS);
  if (err == RT_OK)
    err = rt_run_capture(&job);
  rt_job_clear(&job);
  rt_deck_destroy(&deck);
  return err;
}

/** How two datasets differ. */
typedef struct difference {
  int64_t n_entries;
  int64_t n_counts, n_ids; /**< tokens with other counts, entries other ids */
  double logp;             /**< largest */
} difference;

static void compare_row(const rt_logits_row *a, const rt_logits_row *b,
                        difference *d)
{
  int64_t at_a = 0, at_b = 0;
  for (int t = 0; t < SCENE_T; t++) {
    CU_ASSERT_EQUAL(a->tok[t], b->tok[t]);
    d->n_counts += a->count[t] != b->count[t];
    d->logp = fmax(d->logp, fabs((double)(a->lse[t] - b->lse[t])));
    d->logp =
        fmax(d->logp, fabs((double)(a->label_logp[t] - b->label_logp[t])));
    for (uint32_t i = 0; i < a->count[t] && i < b->count[t]; i++) {
      d->n_ids += a->ids[at_a + i] != b->ids[at_b + i];
      d->logp =
          fmax(d->logp, fabs((double)(a->logp[at_a + i] - b->logp[at_b + i])));
    }
    d->n_entries += a->count[t];
    at_a += a->count[t];
    at_b += b->count[t];
  }
}

/** The row is the corpus' row, and its numbers fit each other. */
static void check_row(const rt_corpus *c, int64_t r, const rt_logits_row *row)
{
  uint32_t tok[SCENE_T + 1];
  int64_t at = 0;
  RT_OKAY(rt_corpus_row(c, RT_TRAIN, r, tok, NULL, NULL));
  CU_ASSERT(memcmp(tok, row->tok, sizeof tok) == 0);
  for (int t = 0; t < SCENE_T; t++) {
    double mass = 0.0;
    for (uint32_t i = 0; i < row->count[t]; i++) {
      if (row->ids[at + i] == tok[t + 1])
        CU_ASSERT_DOUBLE_EQUAL(row->logp[at + i], row->label_logp[t], 1e-5);
      mass += exp((double)row->logp[at + i]);
    }
    CU_ASSERT(mass < 1.0 + 1e-5);
    CU_ASSERT(mass > 0.9 - 1e-5 || row->count[t] == 40);
    at += row->count[t];
  }
}

/** One rank alone. */
static void check(const scene *s, const char *folder)
{
  rt_corpus *c = scene_corpus(s, 0.01);
  rt_logits *ds = NULL;
  rt_logits_row row = {0};
  RT_OKAY(rt_logits_open(MPI_COMM_SELF, folder, RT_LOGITS_FINISHED, &ds));
  for (int64_t r = 0; r < N_ROWS; r++) {
    RT_OKAY(rt_logits_read(ds, r, &row));
    check_row(c, r, &row);
  }
  rt_logits_row_clear(&row);
  rt_logits_close(&ds);
  rt_corpus_close(&c);
}

/** One rank alone. */
static difference compare(const char *folder_a, const char *folder_b)
{
  rt_logits *a = NULL, *b = NULL;
  rt_logits_row row_a = {0}, row_b = {0};
  difference d = {0};
  RT_OKAY(rt_logits_open(MPI_COMM_SELF, folder_a, RT_LOGITS_FINISHED, &a));
  RT_OKAY(rt_logits_open(MPI_COMM_SELF, folder_b, RT_LOGITS_FINISHED, &b));
  CU_ASSERT_EQUAL(rt_logits_about(a)->n_rows, N_ROWS);
  CU_ASSERT_EQUAL(rt_logits_about(b)->n_rows, N_ROWS);
  for (int64_t r = 0; r < N_ROWS; r++) {
    RT_OKAY(rt_logits_read(a, r, &row_a));
    RT_OKAY(rt_logits_read(b, r, &row_b));
    compare_row(&row_a, &row_b, &d);
  }
  CU_ASSERT_EQUAL(d.n_entries, rt_logits_count(a).entries);
  rt_logits_row_clear(&row_a);
  rt_logits_row_clear(&row_b);
  rt_logits_close(&a);
  rt_logits_close(&b);
  return d;
}

/** What one rank alone captures, in FOLDER/alone. */
static void capture_alone(const scene *s, char folder[RT_PATH_MAX])
{
  RT_OKAY(rt_path_join(folder, s->folder, "alone"));
  if (rt_comm_rank(s->world) == 0) {
    rt_comm *self = NULL;
    RT_OKAY(rt_comm_create(MPI_COMM_SELF, &self));
    RT_OKAY(capture(s, self, folder, 1, N_SHARDS));
    rt_comm_destroy(&self);
  }
  RT_OKAY(rt_comm_barrier(s->world));
}

static void test_layouts(void)
{
  scene s;
  char alone[RT_PATH_MAX], dp[RT_PATH_MAX], tp[RT_PATH_MAX];
  scene_create(&s);
  const int n = rt_comm_size(s.world);
  capture_alone(&s, alone);
  RT_OKAY(rt_path_join(dp, s.folder, "dp"));
  RT_OKAY(rt_path_join(tp, s.folder, "tp"));
  RT_OKAY(capture(&s, s.world, dp, 1, N_SHARDS));
  // shards are dealt out: nobody does another's work
  CU_ASSERT(n_beats <= 2 * ((N_SHARDS + n - 1) / n));
  RT_OKAY(capture(&s, s.world, tp, n, N_SHARDS));
  if (rt_comm_rank(s.world) == 0) {
    check(&s, alone);
    const difference d = compare(alone, dp);
    CU_ASSERT(d.n_entries > N_ROWS * SCENE_T); // it is not one entry a token
    CU_ASSERT(d.n_counts == 0 && d.n_ids == 0 && d.logp == 0.0);
    const difference e = compare(alone, tp);
    CU_ASSERT(e.logp < 1e-4);
    CU_ASSERT(e.n_counts <= 1 && e.n_ids <= 2); // near-ties only
  }
  scene_clear(&s);
}

static void test_go_on(void)
{
  scene s;
  char alone[RT_PATH_MAX], folder[RT_PATH_MAX];
  scene_create(&s);
  const int n = rt_comm_size(s.world);
  capture_alone(&s, alone);
  RT_OKAY(rt_path_join(folder, s.folder, "halves"));
  RT_FAILS(capture(&s, s.world, folder, n, 2), RT_ERR_STOPPED,
           "the same command resumes the capture");
  const int first = n_beats;
  RT_OKAY(capture(&s, s.world, folder, n, N_SHARDS));
  CU_ASSERT_EQUAL(first, 3 * 2); // stop_asked said no twice: three shards
  CU_ASSERT_EQUAL(n_beats, 5);   // the rest: two, two and, short, one
  if (rt_comm_rank(s.world) == 0)
    CU_ASSERT(compare(alone, folder).logp < 1e-4);
  RT_OKAY(capture(&s, s.world, folder, n, N_SHARDS));
  CU_ASSERT_EQUAL(n_beats, 0); // finished: not once more
  scene_clear(&s);
}

static void test_refusals(void)
{
  scene s;
  scene_create(&s);
  RT_FAILS(capture(&s, s.world, "", 1, N_SHARDS), RT_ERR_CONFIG, "capture.dir");
  scene_clear(&s);
}

/** Rows of a shard when the deck leaves them open. */
static int64_t chosen(int64_t n_rows, int64_t seq, int64_t top_k)
{
  rt_logits_info info = {.seq = seq,
                         .vocab = 50000,
                         .n_rows = n_rows,
                         .encoding = "packed",
                         .top_p = 0.95,
                         .top_k = top_k};
  rt_capture_complete(&info);
  return info.shard_rows;
}

static void test_shard_rows(void)
{
  CU_ASSERT_EQUAL(chosen(22, 512, 100), 128); // no small ones
  CU_ASSERT_EQUAL(chosen(64 * 128, 512, 100), 128);
  CU_ASSERT_EQUAL(chosen(64 * 1000, 512, 100), 1000); // for many groups
  const int64_t rows = chosen(10000000, 512, 100);
  CU_ASSERT_TRUE(rows > 3400 && rows < 3500); // not more than 256 MiB
  CU_ASSERT_EQUAL(chosen(10000000, 2048, 100), rows / 4);
  CU_ASSERT_TRUE(chosen(100, 2048, 2457) < 128);  // nor of few wide rows
  CU_ASSERT_EQUAL(chosen(100, 131072, 50000), 1); // one there must be
  rt_logits_info asked = {.n_rows = 22,
                          .seq = 8,
                          .vocab = 64,
                          .draws = 5,
                          .encoding = "sampled",
                          .shard_rows = 3};
  rt_capture_complete(&asked);
  CU_ASSERT_EQUAL(asked.shard_rows, 3);
  CU_ASSERT_EQUAL(asked.top_k, 64);
}

/** What was measured (doc/results/logits.md), within 1 %; and bounds. */
static void test_sizes(void)
{
  static const double measured[][2] = {
      {37.99, 63.7}, {69.18, 109.2}, {2457.0, 2707.0}};
  rt_logits_info info = {.vocab = 49152, .encoding = "packed"};
  for (int i = 0; i < 3; i++) {
    const rt_capture_size size = rt_capture_size_of(&info, measured[i][0]);
    CU_ASSERT_DOUBLE_EQUAL(size.likely / measured[i][1], 1.0, 0.01);
    CU_ASSERT_TRUE(size.least < size.likely && size.likely < size.most);
  }
  const double narrow = rt_capture_size_of(&info, 50.0).likely;
  info.vocab *= 2; // one bit more for each id
  CU_ASSERT_DOUBLE_EQUAL(rt_capture_size_of(&info, 50.0).likely,
                         narrow + 50.0 / 8.0, 1e-9);
  info = (rt_logits_info){.vocab = 64, .encoding = "exact", .entropy = true};
  CU_ASSERT_EQUAL(rt_capture_size_of(&info, 5.0).likely, 60.0);
  CU_ASSERT_EQUAL(rt_capture_size_of(&info, 5.0).most, 60.0);
}

RT_TEST_MAIN("run", {"capture on any layout", test_layouts},
             {"capture goes on", test_go_on}, {"refusals", test_refusals},
             {"rows of a shard", test_shard_rows}, {"sizes", test_sizes})
