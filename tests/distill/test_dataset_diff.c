/** \file test_dataset_diff.c
 *  `logits diff`: one number of one row is enough, whichever it is.
 *  ranks: 1 2 */
#include "distill/dataset/dataset.h"
#include "support/logits_scene.h"
#include "support/rt_test_files.h"

enum { SEQ = 3, N_ROWS = 5, N = 4, FIRST_ROW = 10 };

/** What is different in the last token of the last row. */
typedef enum change {
  NOTHING,
  LSE,
  LABEL,
  ENTROPY,
  DEVIATION,
  LOGP,
  ID,
  COUNT,
  STEP,
  STREAM_ROW,
  TEXT,
  N_CHANGES
} change;

static rt_comm *world;

/** The numbers of a row; most of them differ between rows. */
typedef struct numbers {
  uint32_t tok[SEQ + 1], count[SEQ], ids[SEQ * N];
  float logp[SEQ * N], lse[SEQ], label[SEQ], entropy[SEQ], deviation[SEQ];
} numbers;

static numbers numbers_of(int64_t row)
{
  numbers x = {.tok = {1, 2, 3, 4}};
  for (uint32_t t = 0; t < SEQ; t++) {
    x.count[t] = N;
    x.lse[t] = (float)row;
    x.label[t] = -1.0F;
    x.entropy[t] = 2.0F;
    x.deviation[t] = 1.5F;
    for (uint32_t e = 0; e < N; e++) {
      x.ids[t * N + e] = 2 * e + (uint32_t)row;
      x.logp[t * N + e] = -2.0F - (float)e;
    }
  }
  return x;
}

static rt_logits_row row_of(numbers *x, int64_t row, change what)
{
  rt_logits_row r = {.tok = x->tok,
                     .count = x->count,
                     .ids = x->ids,
                     .logp = x->logp,
                     .lse = x->lse,
                     .label_logp = x->label,
                     .entropy = x->entropy,
                     .deviation = x->deviation,
                     .n_tokens = SEQ,
                     .n_entries = SEQ * N,
                     .step = row,
                     .stream_row = row};
  float *const more[] = {[LSE] = x->lse + SEQ - 1,
                         [LABEL] = x->label + SEQ - 1,
                         [ENTROPY] = x->entropy + SEQ - 1,
                         [DEVIATION] = x->deviation + SEQ - 1,
                         [LOGP] = x->logp + SEQ * N - 1};
  if (what >= LSE && what <= LOGP)
    *more[what] += 0.25F;
  x->ids[SEQ * N - 1] += what == ID;
  x->tok[SEQ] += what == TEXT;
  r.step += what == STEP;
  r.stream_row += what == STREAM_ROW;
  if (what == COUNT) {
    x->count[SEQ - 1]--;
    r.n_entries--;
  }
  return r;
}

typedef enum origin { IN_TRAINING, IN_STREAM } origin;

/** A dataset of rows [first, first + N_ROWS), of a teacher in training or of
 * one stream. */
static void put(const char *to, int64_t first, change what, origin from)
{
  rt_logits_info info = info_of(SEQ, 1000, N_ROWS, N_ROWS);
  rt_logits_writer *w;
  const bool in_training = from == IN_TRAINING;
  info.first_row = in_training ? 0 : first;
  info.lanes = in_training;
  info.step = in_training;
  info.top_p = 1.0;
  info.entropy = info.deviation = true;
  RT_OKAY(rt_logits_create(to, &info, "deck: 1\n"));
  RT_OKAY(rt_logits_writer_open(to, &w));
  RT_OKAY(rt_logits_writer_begin(w, 0));
  for (int64_t i = first; i < first + N_ROWS; i++) {
    numbers x = numbers_of(i);
    const bool last = i == FIRST_ROW + N_ROWS - 1;
    const rt_logits_row r = row_of(&x, i, last ? what : NOTHING);
    RT_OKAY(rt_logits_writer_add(w, &r));
  }
  RT_OKAY(rt_logits_writer_seal(w));
  rt_logits_writer_close(&w);
  RT_OKAY(rt_logits_finish(to));
}

/** Compare the rows from FIRST_ROW on with others, of which one differs. */
static rt_err diff(int64_t first, change what, origin from)
{
  char a[RT_PATH_MAX], b[RT_PATH_MAX];
  char *paths[] = {a, b};
  begin();
  RT_OKAY(rt_comm_create(MPI_COMM_WORLD, &world));
  rt_in(folder, "a", a);
  rt_in(folder, "b", b);
  if (my_rank == 0) {
    put(a, FIRST_ROW, NOTHING, from);
    put(b, first, what, from);
  }
  RT_OKAY(rt_comm_barrier(world));
  const rt_err err = rt_logits_diff_run(world, paths);
  rt_comm_destroy(&world);
  scratch_remove(folder);
  return err;
}

static void test_each(void)
{
  RT_OKAY(diff(FIRST_ROW, NOTHING, IN_TRAINING));
  for (int what = NOTHING + 1; what < N_CHANGES; what++)
    RT_FAILS(diff(FIRST_ROW, (change)what, IN_TRAINING), RT_ERR_DATA,
             what == TEXT ? "rows are of another text" : "differ");
}

/** Of different rows of a stream, those that both have are compared. */
static void test_overlap(void)
{
  RT_OKAY(diff(FIRST_ROW + 2, NOTHING, IN_STREAM));
  RT_OKAY(diff(FIRST_ROW - 2, NOTHING, IN_STREAM));
  RT_FAILS(diff(FIRST_ROW + 2, LOGP, IN_STREAM), RT_ERR_DATA, "differ");
  RT_FAILS(diff(FIRST_ROW + N_ROWS - 1, LOGP, IN_STREAM), RT_ERR_DATA,
           "differ");
  RT_OKAY(diff(FIRST_ROW - 2, LOGP, IN_STREAM)); // b does not have that row
  RT_FAILS(diff(FIRST_ROW + N_ROWS, NOTHING, IN_STREAM), RT_ERR_DATA,
           "cannot be compared");
}

RT_TEST_MAIN("dataset_diff", {"one number", test_each},
             {"rows that both have", test_overlap})
