/** \file test_window_capture.c
 *  The logits of a model in training: every row of the window once, with the
 *  numbers that the step's own loss was made of, with and without a restart.
 *  ranks: 1 2 4 */
#include "support/train_scene.h"

#include <math.h>

enum { FIRST = 2, WINDOW = 6, END = FIRST + WINDOW, SHARD_STEPS = 3 };
enum { N_ROWS = WINDOW * TRAIN_BATCH };

/** A trainer with a capture into \a folder. */
typedef struct side {
  train_scene x;
  rt_deck *deck;
} side;

static char folder[RT_PATH_MAX]; // of datasets, the same on all ranks

static void on_beat(int64_t step, const char *phase)
{
  (void)step;
  (void)phase;
}

static rt_window_capture_spec capture_spec(side *s, const char *to)
{
  return (rt_window_capture_spec){
      .world = s->x.comm,
      .grid = &s->x.grid,
      .dev = s->x.dev,
      .corpus = s->x.corpus,
      .deck = s->deck,
      .folder = to,
      .info = {.version = RT_LOGITS_VERSION,
               .seq = TRAIN_SEQ,
               .vocab = TRAIN_V,
               .vocab_padded = TRAIN_V,
               .top_p = 0.8,
               .top_k = 30,
               .temperature = 1.0,
               .encoding = "exact",
               .shard_rows = SHARD_STEPS * TRAIN_BATCH / s->x.grid.dp,
               .teacher = "the_run",
               .created = "2026-01-31T12:00:00Z",
               .eot = EOT,
               .split_seed = 5},
      .window = {.first = FIRST, .n_steps = WINDOW},
      .n_steps = TRAIN_STEPS,
      .batch_rows = TRAIN_BATCH,
      .micro_rows = s->x.grid.dp == 1 ? 4 : 2,
      .chunk_bytes = 4000.0,
      .silence_s = 60.0,
      .phases = &s->x.phases,
      .beat = on_beat};
}

static void start(side *s, int tp, const char *to)
{
  *s = (side){0};
  train_setup how = train_usual(MPI_COMM_WORLD, tp);
  RT_OKAY(rt_deck_read(NULL, 0, NULL, &s->deck));
  train_open(&s->x, &how);
  how.micro_rows = s->x.grid.dp == 1 ? 4 : 2; // several micro-batches
  rt_trainer_spec spec = train_spec(&s->x, &how);
  spec.capture = capture_spec(s, to);
  RT_OKAY(rt_trainer_create(&spec, &s->x.tr));
  RT_OKAY(rt_trainer_commit(s->x.tr));
  RT_OKAY(rt_trainer_seek(s->x.tr, 0));
  CU_ASSERT_PTR_NOT_NULL_FATAL(s->x.tr->capture);
  CU_ASSERT(rt_window_capture_entries(s->x.tr->capture) > 0.0);
  CU_ASSERT((rt_window_capture_writer(s->x.tr->capture) > 0.0) ==
            (s->x.grid.i_tp == 0));
}

static void finish(side *s)
{
  train_finish(&s->x);
  rt_deck_destroy(&s->deck);
}

/** Steps [from, to); their losses into \a loss [step] unless NULL. */
static void train(side *s, int64_t from, int64_t to, double *loss)
{
  rt_step_result r;
  for (int64_t i = from; i < to; i++) {
    train_step(&s->x, i, &r);
    if (loss != NULL)
      loss[i] = r.loss;
  }
}

/** Mean of -log p of a row's labels. */
static double loss_of(const rt_logits_row *row)
{
  double sum = 0.0;
  for (int t = 0; t < TRAIN_SEQ; t++)
    sum -= (double)row->label_logp[t];
  return sum / TRAIN_SEQ;
}

/** Each row is one of its step's, none comes twice, and together their losses
 *  are the step's. */
static void check_rows(const side *s, const char *from, const double *loss)
{
  const int64_t n_rows = rt_corpus_n_rows(s->x.corpus, RT_TRAIN);
  const int64_t lanes = s->x.grid.dp, per_step = TRAIN_BATCH / lanes;
  double sum[END] = {0.0};
  rt_logits *ds = NULL;
  rt_logits_row row = {0};
  RT_OKAY(rt_logits_open(MPI_COMM_SELF, from, RT_LOGITS_FINISHED, &ds));
  const rt_logits_info *const info = rt_logits_about(ds);
  CU_ASSERT_FATAL(info->n_rows == N_ROWS && info->lanes == lanes);
  CU_ASSERT_STRING_EQUAL(info->teacher_hash, "origin");
  CU_ASSERT_STRING_EQUAL(info->teacher,
                         "the_run, in training, steps 2 to 8 of 1000");
  for (int64_t i = 0; i < N_ROWS; i++) {
    uint32_t tok[TRAIN_SEQ + 1];
    const int64_t lane = i / (WINDOW * per_step), at = i % (WINDOW * per_step);
    const int64_t step = FIRST + at / per_step;
    const int64_t of_step = lane * per_step + at % per_step;
    RT_OKAY(rt_logits_read(ds, i, &row));
    CU_ASSERT_EQUAL(row.step, step);
    CU_ASSERT_EQUAL(row.stream_row,
                    rt_corpus_order(1, n_rows, step * TRAIN_BATCH + of_step));
    RT_OKAY(
        rt_corpus_row(s->x.corpus, RT_TRAIN, row.stream_row, tok, NULL, NULL));
    CU_ASSERT_EQUAL(memcmp(tok, row.tok, sizeof tok), 0);
    CU_ASSERT(row.n_entries > TRAIN_SEQ);
    CU_ASSERT_FATAL(row.step >= FIRST && row.step < END);
    sum[row.step] += loss_of(&row) / TRAIN_BATCH;
  }
  for (int64_t step = FIRST; step < END; step++)
    CU_ASSERT_DOUBLE_EQUAL(sum[step], loss[step], 1e-5);
  rt_logits_row_clear(&row);
  rt_logits_close(&ds);
}

static void test_rows(void)
{
  char to[RT_PATH_MAX];
  const int n = rt_test_ranks();
  scratch_create(folder);
  for (int tp = 1; tp <= n; tp *= 2) {
    side s;
    double loss[END + 1];
    const char name[2] = {(char)('0' + tp), '\0'};
    start(&s, tp, rt_in(folder, name, to));
    RT_OKAY(rt_window_capture_begin(s.x.tr->capture, 0, "origin"));
    train(&s, 0, END + 1, loss); // the step after the window is not captured
    if (rt_comm_rank(s.x.comm) == 0)
      check_rows(&s, to, loss);
    finish(&s);
  }
  scratch_remove(folder);
}

/** Entries of a row of two datasets with the same bits? */
static bool same(const rt_logits_row *a, const rt_logits_row *b)
{
  const size_t n = (size_t)a->n_entries;
  return n == (size_t)b->n_entries && a->stream_row == b->stream_row &&
         a->step == b->step &&
         memcmp(a->count, b->count, TRAIN_SEQ * sizeof *a->count) == 0 &&
         memcmp(a->ids, b->ids, n * sizeof *a->ids) == 0 &&
         memcmp(a->logp, b->logp, n * sizeof *a->logp) == 0;
}

static int64_t n_different(const char *one, const char *two)
{
  rt_logits *a = NULL, *b = NULL;
  rt_logits_row x = {0}, y = {0};
  int64_t n = 0;
  RT_OKAY(rt_logits_open(MPI_COMM_SELF, one, RT_LOGITS_FINISHED, &a));
  RT_OKAY(rt_logits_open(MPI_COMM_SELF, two, RT_LOGITS_FINISHED, &b));
  for (int64_t i = 0; i < N_ROWS; i++) {
    RT_OKAY(rt_logits_read(a, i, &x));
    RT_OKAY(rt_logits_read(b, i, &y));
    n += !same(&x, &y);
  }
  rt_logits_row_clear(&x);
  rt_logits_row_clear(&y);
  rt_logits_close(&a);
  rt_logits_close(&b);
  return n;
}

/** Stopped in the middle of a shard, and after one: the rest is captured by a
 *  trainer that has come to the same step. */
static void test_restart(void)
{
  char whole[RT_PATH_MAX], parts[RT_PATH_MAX], name[16];
  scratch_create(folder);
  side s;
  start(&s, 1, rt_in(folder, "whole", whole));
  RT_OKAY(rt_window_capture_begin(s.x.tr->capture, 0, "origin"));
  train(&s, 0, END, NULL);
  finish(&s);
  static const int64_t stops[] = {FIRST + 1, FIRST + SHARD_STEPS, END - 1};
  for (size_t i = 0; i < sizeof stops / sizeof stops[0]; i++) {
    const int64_t stop = stops[i];
    snprintf(name, sizeof name, "stop%lld", (long long)stop);
    start(&s, 1, rt_in(folder, name, parts));
    RT_OKAY(rt_window_capture_begin(s.x.tr->capture, 0, "origin"));
    train(&s, 0, stop, NULL);
    RT_OKAY(rt_window_capture_sync(s.x.tr->capture));
    finish(&s);
    start(&s, 1, parts);
    train(&s, 0, stop, NULL); // before it begins, nothing is captured
    RT_OKAY(rt_window_capture_begin(s.x.tr->capture, stop, "origin"));
    train(&s, stop, END, NULL);
    if (rt_comm_rank(s.x.comm) == 0)
      CU_ASSERT_EQUAL(n_different(whole, parts), 0);
    finish(&s);
  }
  scratch_remove(folder);
}

static void test_refused(void)
{
  char to[RT_PATH_MAX];
  side s;
  scratch_create(folder);
  start(&s, 1, rt_in(folder, "late", to));
  RT_FAILS(rt_window_capture_begin(s.x.tr->capture, FIRST + 1, "origin"),
           RT_ERR_CONFIG, "the window began at step 2");
  finish(&s);
  start(&s, 1, rt_in(folder, "other", to));
  RT_OKAY(rt_window_capture_begin(s.x.tr->capture, 0, "origin"));
  train(&s, 0, FIRST + 1, NULL);
  finish(&s);
  start(&s, 1, to);
  RT_FAILS(rt_window_capture_begin(s.x.tr->capture, 0, "another"),
           RT_ERR_LOCKED, "holds logits of another run");
  finish(&s);
  scratch_remove(folder);
}

/** Without steps there is no capture, which all functions accept. */
static void test_none(void)
{
  const rt_window_capture_spec spec = {0};
  rt_window_capture *tc = NULL;
  RT_OKAY(rt_window_capture_create(&spec, NULL, NULL, &tc));
  CU_ASSERT_PTR_NULL(tc);
  RT_OKAY(rt_window_capture_commit(tc));
  RT_OKAY(rt_window_capture_begin(tc, 0, ""));
  rt_window_capture_look(tc, 0);
  RT_OKAY(rt_window_capture_take(tc, NULL));
  RT_OKAY(rt_window_capture_end_step(tc));
  RT_OKAY(rt_window_capture_sync(tc));
  rt_window_capture_destroy(&tc);
}

RT_TEST_MAIN("window_capture", {"rows of the window", test_rows},
             {"restarts", test_restart}, {"refused", test_refused},
             {"none", test_none})
