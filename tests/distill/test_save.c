/** \file test_save.c
 *  Checkpoints of a trainer: what a resumed one has, which checkpoints stay,
 *  what is refused; written at once, and while training goes on.
 *  ranks: 1 2 4 */
#include "distill/run/train_run.h"
#include "distill/train/resume.h"
#include "distill/train/save.h"
#include "distill/train/run_folder.h"
#include "io/hf/hfconfig.h"
#include "support/train_scene.h"
#include <sys/resource.h>
#include <unistd.h>

/** A trainer, and its run, whose checkpoints are in a folder of all ranks. */
typedef struct side {
  train_scene x;
  rt_deck *deck;
  char *config;
  rt_run_spec run;
} side;

static char folder[RT_PATH_MAX]; // output.dir

/** \a key: one more key of the deck; NULL: none. */
static void start(side *s, int tp, const char *key)
{
  char dir[RT_PATH_MAX + 16], keep[] = "checkpoint.keep_last=2",
                              real[] = "run.real=f64", more[100];
  char *overrides[] = {dir, keep, real, more};
  *s = (side){0};
  train_start(&s->x, train_usual(MPI_COMM_WORLD, tp));
  snprintf(dir, sizeof dir, "output.dir=%s", folder);
  snprintf(more, sizeof more, "%s", key != NULL ? key : "");
  RT_OKAY(rt_deck_read(NULL, key != NULL ? 4 : 3, overrides, &s->deck));
  RT_OKAY(rt_hfconfig_text(&s->x.arch, "here", &s->config));
  s->run = (rt_run_spec){.world = s->x.comm,
                         .deck = s->deck,
                         .config = s->config,
                         .arch = &s->x.arch,
                         .tokenizer = "",
                         .rows = {.seq = TRAIN_SEQ, .corpus = s->x.corpus},
                         .n_rows = rt_corpus_n_rows(s->x.corpus, RT_TRAIN),
                         .batch_rows = TRAIN_BATCH};
}

static void finish(side *s)
{
  free(s->config);
  rt_deck_destroy(&s->deck);
  train_finish(&s->x);
}

/** Steps [from, to). */
static void train(side *s, int64_t from, int64_t to)
{
  rt_step_result r;
  for (int64_t i = from; i < to; i++)
    train_step(&s->x, i, &r);
}

/** Six steps with a checkpoint after every second, the last of which training
 *  waits for. */
static void make_run(side *s, int tp, rt_save_how how)
{
  int64_t step;
  rt_saver *saver = NULL;
  start(s, tp, NULL);
  RT_OKAY(rt_resume_begin(&s->run, s->x.tr, &step));
  CU_ASSERT_EQUAL(step, -1); // a new run
  RT_OKAY(rt_saver_create(&s->run, s->x.tr, how, &saver));
  CU_ASSERT_EQUAL(rt_saver_can_begin(saver), how == RT_SAVE_MEANWHILE);
  memcpy(s->x.tr->id.origin, "0123", 5);
  for (int64_t i = 2; i <= 6; i += 2) {
    train(s, i - 2, i);
    if (rt_saver_writes(saver) >= 0)
      RT_OKAY(rt_saver_finish(saver));
    s->x.tr->n_skipped = i / 3;
    if (how == RT_SAVE_MEANWHILE && i < 6)
      RT_OKAY(rt_saver_begin(saver, i));
    else
      RT_OKAY(rt_saver_save(saver, i));
  }
  rt_saver_destroy(&saver);
}

static bool has(const char *name)
{
  char checkpoints[RT_PATH_MAX], path[RT_PATH_MAX];
  RT_OKAY(rt_run_folder_checkpoints(checkpoints, folder));
  return rt_folder_exists(rt_in(checkpoints, name, path));
}

static void check_same_weights(const side *a, const side *b)
{
  double x[16], y[16];
  train_norm(&a->x, x);
  train_norm(&b->x, y);
  for (int i = 0; i < 16; i++)
    CU_ASSERT_EQUAL(x[i], y[i]);
}

/** Before a stop there is time for a step, an evaluation that is due, the
 *  checkpoint in writing or due, and the last one. */
static void test_time_to_stop(void)
{
  side s;
  rt_saver *saver = NULL;
  int64_t step;
  scratch_create(folder);
  start(&s, 1, NULL);
  RT_OKAY(rt_resume_begin(&s.run, s.x.tr, &step));
  RT_OKAY(rt_saver_create(&s.run, s.x.tr, RT_SAVE_MEANWHILE, &saver));
  train(&s, 0, 1);
  RT_OKAY(rt_saver_save(saver, 1));
  const double one = rt_saver_seconds(saver);
  CU_ASSERT(one > 0.0);
  rt_train_run run = {.saver = saver,
                      .step = 3,
                      .launched = 3,
                      .step_s = 10.0,
                      .checkpoint_every = 2,
                      .eval_every = 5,
                      .eval_s = 100.0};
  CU_ASSERT_EQUAL(rt_train_stop_s(&run), 10.0 + one);
  run.step = run.launched = 4;
  CU_ASSERT_EQUAL(rt_train_stop_s(&run), 10.0 + 2.0 * one);
  run.step = run.launched = 5;
  CU_ASSERT_EQUAL(rt_train_stop_s(&run), 110.0 + one);
  run.step = run.launched = 3;
  train(&s, 1, 2);
  RT_OKAY(rt_saver_begin(saver, 2));
  CU_ASSERT_EQUAL(rt_train_stop_s(&run), 10.0 + 2.0 * one);
  run.launched = 4; // one is on its way
  CU_ASSERT_EQUAL(rt_train_stop_s(&run), 20.0 + 2.0 * one);
  RT_OKAY(rt_saver_finish(saver));
  rt_saver_destroy(&saver);
  finish(&s);
  scratch_remove(folder);
}

/** One rank can start no thread: none writes meanwhile, and all save. */
static void test_no_thread(void)
{
  side s;
  int64_t step;
  long pages = 0;
  rt_saver *saver = NULL;
  struct rlimit old;
  scratch_create(folder);
  start(&s, 1, NULL);
  RT_OKAY(rt_resume_begin(&s.run, s.x.tr, &step));
  FILE *const f = fopen("/proc/self/statm", "r");
  CU_ASSERT_FATAL(f != NULL && fscanf(f, "%ld", &pages) == 1);
  fclose(f);
  getrlimit(RLIMIT_AS, &old);
  const rlim_t bytes = (rlim_t)pages * (rlim_t)sysconf(_SC_PAGESIZE);
  const bool odd = rt_comm_rank(s.x.comm) == rt_test_ranks() - 1;
  const struct rlimit low = {odd ? bytes + (1 << 21) : old.rlim_cur,
                             old.rlim_max};
  setrlimit(RLIMIT_AS, &low); // too little for a thread's stack
  const rt_err err = rt_saver_create(&s.run, s.x.tr, RT_SAVE_MEANWHILE, &saver);
  setrlimit(RLIMIT_AS, &old);
  CU_ASSERT_EQUAL(err, RT_OK);
  CU_ASSERT_FALSE(rt_saver_can_begin(saver));
  train(&s, 0, 1);
  RT_OKAY(rt_saver_save(saver, 1));
  CU_ASSERT_EQUAL(rt_saver_published(saver), 1);
  rt_saver_destroy(&saver);
  finish(&s);
  scratch_remove(folder);
}

/** All that a step needs comes back, on this layout with the same bits. */
static void test_resume(void)
{
  const int n = rt_test_ranks();
  for (int tp = 1; tp <= n; tp *= 2) {
    side a, b;
    int64_t step;
    rt_step_result r, q;
    scratch_create(folder);
    make_run(&a, tp, tp == 1 ? RT_SAVE_MEANWHILE : RT_SAVE_WAITING);
    CU_ASSERT(!has("step-00000002") && has("step-00000004") &&
              has("step-00000006"));
    start(&b, tp, NULL);
    RT_OKAY(rt_resume_begin(&b.run, b.x.tr, &step));
    CU_ASSERT_EQUAL(step, 6);
    CU_ASSERT_EQUAL(b.x.tr->n_skipped, 2);
    CU_ASSERT_EQUAL(b.x.tr->n_updates, 4);
    CU_ASSERT_EQUAL(b.x.tr->norm_mean, a.x.tr->norm_mean);
    CU_ASSERT_STRING_EQUAL(b.x.tr->id.origin, "0123");
    check_same_weights(&a, &b);
    a.x.tr->n_updates = 4;
    RT_OKAY(rt_trainer_send_control(a.x.tr));
    RT_OKAY(rt_trainer_seek(b.x.tr, 6));
    train_step(&a.x, 6, &r);
    train_step(&b.x, 6, &q);
    CU_ASSERT(r.loss == q.loss && r.grad_norm == q.grad_norm);
    check_same_weights(&a, &b);
    finish(&b);
    finish(&a);
    scratch_remove(folder);
  }
}

/** What a run leaves that is killed after it has replaced this checkpoint. */
static void leave_replaced(const char *name)
{
  char path[RT_PATH_MAX], file[RT_PATH_MAX];
  RT_OKAY(rt_folder_create(rt_in(folder, name, path)));
  rt_put_text(rt_in(path, "state.h5", file), "x");
  rt_put_text(rt_in(path, "state.h5.seal", file), "x");
}

/** The newest is damaged: the one before is taken, and the damaged one gets
 *  another name.  What it replaced does not return. */
static void test_damaged(void)
{
  side a, b;
  int64_t step;
  char path[RT_PATH_MAX];
  scratch_create(folder);
  make_run(&a, 1, RT_SAVE_WAITING);
  if (rt_comm_rank(a.x.comm) == 0) {
    scratch_flip(rt_in(folder, "checkpoints/step-00000006/state.h5", path),
                 3000, 4);
    leave_replaced("checkpoints/.tmp-old-step-00000006");
  }
  RT_OKAY(rt_comm_barrier(a.x.comm));
  start(&b, 1, NULL);
  RT_OKAY(rt_resume_begin(&b.run, b.x.tr, &step));
  CU_ASSERT_EQUAL(step, 4);
  CU_ASSERT_EQUAL(b.x.tr->n_updates, 3);
  CU_ASSERT(has("step-00000004") && !has("step-00000006"));
  finish(&b);
  finish(&a);
  scratch_remove(folder);
}

/** Killed while it replaced its only checkpoint: that one is found, by who may
 *  not write to the folder, too. */
static void test_replacing(void)
{
  side a, b;
  uint64_t hash;
  int64_t step;
  char path[RT_PATH_MAX], old[RT_PATH_MAX];
  scratch_create(folder);
  make_run(&a, 1, RT_SAVE_WAITING);
  rt_in(folder, "checkpoints/step-00000006", path);
  rt_in(folder, "checkpoints/.tmp-old-step-00000006", old);
  CU_ASSERT_TRUE(rt_comm_rank(a.x.comm) != 0 || rename(path, old) == 0);
  RT_OKAY(rt_comm_barrier(a.x.comm));
  start(&b, 1, NULL);
  RT_OKAY(rt_resume_weights(b.x.comm, b.x.dev, b.x.tr->model, folder, &step));
  CU_ASSERT_EQUAL(step, 6);
  check_same_weights(&a, &b);
  RT_OKAY(rt_checkpoint_proof(rt_in(folder, "checkpoints", path), 6, &hash));
  RT_OKAY(rt_comm_barrier(a.x.comm));
  CU_ASSERT(!has("step-00000006") && has(".tmp-old-step-00000006"));
  finish(&b);
  start(&b, 1, NULL);
  RT_OKAY(rt_resume_begin(&b.run, b.x.tr, &step));
  CU_ASSERT_EQUAL(step, 6);
  CU_ASSERT(has("step-00000006") && !has(".tmp-old-step-00000006"));
  check_same_weights(&a, &b);
  finish(&b);
  finish(&a);
  scratch_remove(folder);
}

static void test_refused(void)
{
  side a, b;
  int64_t step;
  scratch_create(folder);
  make_run(&a, 1, RT_SAVE_WAITING);
  start(&b, 1, "checkpoint.resume=false");
  RT_FAILS(rt_resume_begin(&b.run, b.x.tr, &step), RT_ERR_CONFIG,
           "holds a checkpoint of step 6");
  finish(&b);
  start(&b, 1, "train.lr=0.5");
  RT_FAILS(rt_resume_begin(&b.run, b.x.tr, &step), RT_ERR_CONFIG, "train.lr");
  finish(&b);
  start(&b, 1, NULL);
  b.run.n_rows--;
  RT_FAILS(rt_resume_begin(&b.run, b.x.tr, &step), RT_ERR_CONFIG,
           "training stream differs");
  finish(&b);
  finish(&a);
  scratch_remove(folder);
}

/** For an evaluation: weights without anything else. */
static void test_weights(void)
{
  side a, b;
  int64_t step;
  scratch_create(folder);
  make_run(&a, 1, RT_SAVE_WAITING);
  start(&b, rt_test_ranks(), NULL);
  RT_OKAY(rt_resume_weights(b.x.comm, b.x.dev, b.x.tr->model, folder, &step));
  CU_ASSERT_EQUAL(step, 6);
  CU_ASSERT_EQUAL(b.x.tr->n_updates, 0);
  check_same_weights(&a, &b);
  RT_OKAY(
      rt_resume_weights(b.x.comm, b.x.dev, b.x.tr->model, b.x.folder, &step));
  CU_ASSERT_EQUAL(step, -1);
  finish(&b);
  finish(&a);
  scratch_remove(folder);
}

/** Without a folder nothing is read, as there is nothing to resume. */
static void test_no_folder(void)
{
  side s;
  int64_t step = 0;
  folder[0] = '\0';
  start(&s, 1, NULL);
  RT_OKAY(rt_resume_begin(&s.run, s.x.tr, &step));
  CU_ASSERT_EQUAL(step, -1);
  finish(&s);
}

RT_TEST_MAIN("save", {"no thread", test_no_thread},
             {"time to stop", test_time_to_stop},
             {"a trainer comes back", test_resume},
             {"the newest is damaged", test_damaged},
             {"killed while replacing", test_replacing},
             {"refused", test_refused}, {"weights only", test_weights},
             {"no folder", test_no_folder})
