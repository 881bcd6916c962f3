/** \file test_step.c
 *  One training step on any layout, clipping, bad steps, ranks that read
 *  different texts.
 *  ranks: 1 2 4 */
#include "support/train_scene.h"

#include <math.h>

static void check_same(train_setup how, const rt_step_result *want, int n)
{
  train_scene x;
  rt_step_result got;
  train_start(&x, how);
  for (int i = 0; i < n; i++) {
    train_step(&x, i, &got);
    CU_ASSERT_DOUBLE_EQUAL(got.loss, want[i].loss, 1e-9);
    CU_ASSERT_DOUBLE_EQUAL(got.grad_norm, want[i].grad_norm, 1e-8);
    CU_ASSERT(got.lm == got.loss && got.kd == 0.0 && got.alpha == 0.0);
    CU_ASSERT(!got.bad && got.lr == 0.01);
  }
  CU_ASSERT(x.tr->n_updates == n && x.tr->n_skipped == 0);
  const double launches = rt_trainer_counts(x.tr).optimizer_launches;
  CU_ASSERT(launches >= 3 && launches <= 8); // of any number of tensors
  train_finish(&x);
}

/** Loss and norm of a rank alone, on dp and tp, in micro-steps or at once; the
 *  loss starts at that of a guess, and falls. */
static void test_layouts(void)
{
  enum { N_STEPS = 20 };
  train_scene x;
  rt_step_result want[N_STEPS];
  int n;
  MPI_Comm_size(MPI_COMM_WORLD, &n);
  train_start(&x, train_usual(MPI_COMM_SELF, 1));
  for (int i = 0; i < N_STEPS; i++)
    train_step(&x, i, &want[i]);
  train_finish(&x);
  CU_ASSERT_DOUBLE_EQUAL(want[0].loss, log(TRAIN_V), 1.5);
  CU_ASSERT(want[N_STEPS - 1].loss < 0.8 * want[0].loss);
  for (int tp = 1; tp <= n; tp *= 2)
    for (int64_t micro = 0; micro < 2; micro++) {
      train_setup how = train_usual(MPI_COMM_WORLD, tp);
      how.micro_rows = micro;
      check_same(how, want, N_STEPS);
    }
}

/** How far the final norm's weights move in one step.  With this epsilon an
 *  update is the gradient times lr / eps. */
static void move(double clip, double delta[16], double *norm)
{
  train_scene x;
  double before[16], after[16];
  rt_step_result r;
  train_setup how = train_usual(MPI_COMM_WORLD, 1);
  how.eps = 1e6;
  how.lr = 1e5;
  how.clip = clip;
  train_start(&x, how);
  train_norm(&x, before);
  train_step(&x, 0, &r);
  train_norm(&x, after);
  for (int i = 0; i < 16; i++)
    delta[i] = after[i] - before[i];
  *norm = r.grad_norm;
  train_finish(&x);
}

static void test_clip(void)
{
  double free_move[16], half[16], all[16], norm, again;
  move(0.0, free_move, &norm);
  CU_ASSERT(norm > 0.0);
  move(0.5 * norm, half, &again);
  CU_ASSERT_DOUBLE_EQUAL(again, norm, 1e-12); // as it was, before the clip
  move(2.0 * norm, all, &again);
  for (int i = 0; i < 16; i++) {
    CU_ASSERT(free_move[i] != 0.0);
    CU_ASSERT_DOUBLE_EQUAL(half[i] / free_move[i], 0.5, 1e-5);
    CU_ASSERT_DOUBLE_EQUAL(all[i] / free_move[i], 1.0, 1e-9);
  }
}

/** A spike, then NaN: nothing is updated, the steps are counted, and the
 *  running mean stays. */
static void test_bad(void)
{
  train_scene x;
  double before[16], after[16], bad[16];
  rt_step_result r;
  train_setup how = train_usual(MPI_COMM_WORLD, 1);
  how.spike = 3.0;
  train_start(&x, how);
  train_step(&x, 0, &r);
  CU_ASSERT(!r.bad);
  CU_ASSERT_EQUAL(x.tr->norm_mean, r.grad_norm); // the first is the mean
  const double mean = x.tr->norm_mean = r.grad_norm / 10.0;
  RT_OKAY(rt_trainer_send_control(x.tr));
  train_norm(&x, before);
  train_step(&x, 1, &r);
  CU_ASSERT(r.bad && isfinite(r.loss));
  for (int i = 0; i < 16; i++)
    bad[i] = NAN;
  train_norm(&x, after);
  for (int i = 0; i < 16; i++)
    CU_ASSERT_EQUAL(before[i], after[i]);
  RT_OKAY(rt_dev_put(
      x.dev,
      rt_params_find(rt_model_params(x.tr->model), "model.norm.weight")->w,
      bad));
  train_step(&x, 2, &r);
  CU_ASSERT(r.bad && !isfinite(r.loss));
  CU_ASSERT(x.tr->n_skipped == 2 && x.tr->n_updates == 1);
  CU_ASSERT_EQUAL(x.tr->norm_mean, mean);
  train_finish(&x);
}

/** Where a bad step is to stop the run, good ones after it that are in the
 *  queue change nothing either. */
static void stop_on(const char *device)
{
  train_scene x;
  double before[16], after[16];
  rt_step_result r;
  train_setup how = train_usual(MPI_COMM_WORLD, 1);
  how.spike = 3.0;
  how.stop = true;
  how.device = device;
  train_start(&x, how);
  x.tr->norm_mean = 1e-9;
  RT_OKAY(rt_trainer_send_control(x.tr));
  train_norm(&x, before);
  RT_OKAY(rt_trainer_step(x.tr, 0));
  x.tr->spec.spike = 0.0; // the next one would be good
  RT_OKAY(rt_trainer_step(x.tr, 1));
  RT_OKAY(rt_trainer_result(x.tr, &r));
  CU_ASSERT(r.bad && x.tr->n_skipped == 1); // that of the first, still
  RT_OKAY(rt_trainer_result(x.tr, &r));
  CU_ASSERT(r.bad && isfinite(r.loss) && x.tr->n_updates == 0);
  CU_ASSERT_EQUAL(x.tr->n_skipped, 2);
  train_norm(&x, after);
  for (int i = 0; i < 16; i++)
    CU_ASSERT_EQUAL(before[i], after[i]);
  train_finish(&x);
}

static void test_stop(void)
{
  stop_on("cpu");
  stop_on("check");
}

/** A device that lags behind the host: results come one step later, with the
 *  same bits, and no step waits. */
static void test_lag(void)
{
  enum { N_STEPS = 6 };
  train_scene x;
  rt_step_result want[N_STEPS], got;
  train_setup how = train_usual(MPI_COMM_SELF, 1);
  how.micro_rows = 4;
  train_start(&x, how);
  CU_ASSERT_EQUAL(rt_trainer_lag(x.tr), 0);
  for (int i = 0; i < N_STEPS; i++)
    train_step(&x, i, &want[i]);
  CU_ASSERT_EQUAL(rt_trainer_counts(x.tr).host_waits, 0.0);
  train_finish(&x);
  how.device = "check";
  train_start(&x, how);
  CU_ASSERT_EQUAL(rt_trainer_lag(x.tr), 1);
  for (int i = 0; i <= N_STEPS; i++) {
    if (i < N_STEPS)
      RT_OKAY(rt_trainer_step(x.tr, i));
    if (i == 0)
      continue;
    RT_OKAY(rt_trainer_result(x.tr, &got));
    CU_ASSERT(got.loss == want[i - 1].loss);
    CU_ASSERT(got.grad_norm == want[i - 1].grad_norm && got.seconds > 0.0);
    CU_ASSERT_EQUAL(x.tr->n_updates, i);
  }
  CU_ASSERT_EQUAL(rt_trainer_counts(x.tr).host_waits, 0.0);
  CU_ASSERT_EQUAL(rt_trainer_counts(x.tr).drains, 1); // the last one
  train_finish(&x);
}

/** Ranks of a tp group whose files differ: all are told, before the update.  A
 *  rank alone has none to differ from: the same step moves its weights. */
static void test_other_text(void)
{
  train_scene x;
  double before[16], after[16];
  rt_step_result r;
  int rank, n;
  MPI_Comm_rank(MPI_COMM_WORLD, &rank);
  MPI_Comm_size(MPI_COMM_WORLD, &n);
  train_setup how = train_usual(MPI_COMM_WORLD, n);
  how.text = rank == n - 1 && n > 1 ? 101 : 100;
  train_start(&x, how);
  train_norm(&x, before);
  if (n > 1)
    RT_FAILS(rt_trainer_step(x.tr, 4), RT_ERR_DATA,
             "tp group have read different rows");
  else
    train_step(&x, 4, &r);
  train_norm(&x, after);
  for (int i = 0; i < 16; i++)
    CU_ASSERT((before[i] == after[i]) == (n > 1));
  train_finish(&x);
}

static rt_err lose(void *with, rt_turn turn)
{
  *(bool *)with = turn == RT_TURN_LOST;
  return RT_OK;
}

/** A step is open when its trainer goes: none of its work remains in the
 * queues, as its memory has gone. */
static void test_open_step(void)
{
  train_scene x;
  bool lost = false;
  train_setup how = train_usual(MPI_COMM_WORLD, 1);
  how.device = "check";
  train_start(&x, how);
  RT_OKAY(rt_trainer_step(x.tr, 0));
  rt_dev_call(x.dev, RT_QUEUE_COPY, lose, &lost);
  rt_trainer_destroy(&x.tr);
  CU_ASSERT_TRUE(lost);
  train_finish(&x);
}

RT_TEST_MAIN("step", {"any layout", test_layouts}, {"clipping", test_clip},
             {"bad steps", test_bad}, {"a bad step stops", test_stop},
             {"results one step later", test_lag},
             {"different texts", test_other_text},
             {"a step is open at the end", test_open_step})
