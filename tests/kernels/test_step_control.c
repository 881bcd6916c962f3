/** \file test_step_control.c
 *  What becomes of a step: numbers worked out from doc/numerics.md.
 *  ranks: 1 */
#include "support/tensor.h"

static const double beta1 = 0.9, beta2 = 0.99;

/** A device that has taken no step, and how steps are judged. */
typedef struct side {
  k_control control;
  double alpha, clip, spike;
  bool stop;
} side;

/** What a step told, and what AdamW gets. */
typedef struct outcome {
  k_told told;
  k_adamw_step step;
} outcome;

/** A step with this gradient norm of two ranks, whose squares are 9 to 16. */
static outcome take(side *x, double norm, k_loss loss)
{
  double squares[2] = {0.36 * norm * norm, 0.64 * norm * norm};
  outcome out;
  memset(&out, 0xff, sizeof out);
  TENSOR_RUN(RT_F64, step_control, .squares = tensor_f64(squares, 2, 1),
             .loss = tensor_f64(&loss.lm, 1, K_N_LOSS),
             .control = tensor_f64(&x->control.norm_mean, 1, K_N_CONTROL),
             .step = tensor_f64(&out.step.lr, 1, 5),
             .told = tensor_f64(&out.told.loss, 1, K_N_TOLD), .alpha = x->alpha,
             .lr = 0.125, .clip = x->clip, .spike = x->spike, .beta1 = beta1,
             .beta2 = beta2, .stop = x->stop);
  return out;
}

static const k_loss usual = {.lm = 3.0, .kd = 1.0, .entries = 20.0};

static bool same_control(const k_control *a, const k_control *b)
{
  return tensor_same_bits(a, b, sizeof *a);
}

/** L = (1 - alpha) lm + alpha kd; the norm is that of all ranks. */
static void test_told(void)
{
  side x = {.alpha = 0.25};
  const outcome o = take(&x, 5.0, usual);
  CU_ASSERT_EQUAL(o.told.loss, 2.5);
  CU_ASSERT(o.told.lm == 3.0 && o.told.kd == 1.0 && o.told.entries == 20.0);
  CU_ASSERT_DOUBLE_EQUAL(o.told.grad_norm, 5.0, 1e-15);
  CU_ASSERT(o.told.bad == 0.0 && o.step.skip == 0.0 && o.step.lr == 0.125);
  CU_ASSERT(same_control(&o.told.control, &x.control));
}

/** 1 - beta^t, where t counts the steps that were not skipped. */
static void test_bias(void)
{
  side x = {0};
  double b1 = 1.0, b2 = 1.0;
  for (int t = 1; t <= 50; t++) {
    b1 *= beta1;
    b2 *= beta2;
    if (t == 20)
      CU_ASSERT(take(&x, NAN, usual).step.skip != 0.0);
    const outcome o = take(&x, 1.0, usual);
    CU_ASSERT_DOUBLE_EQUAL(o.step.bias1, 1.0 - b1, 1e-14);
    CU_ASSERT_DOUBLE_EQUAL(o.step.bias2, 1.0 - b2, 1e-14);
  }
  CU_ASSERT(x.control.n_updates == 50.0 && x.control.n_skipped == 1.0);
}

/** A norm above the clip is scaled to it, and none other. */
static void test_clip(void)
{
  const struct {
    double clip, norm, want;
  } cases[] = {{0.0, 1e9, 1.0},  {2.0, 1.0, 1.0}, {2.0, 2.0, 1.0},
               {2.0, 8.0, 0.25}, {2.0, 0.0, 1.0}, {1e-3, 1.0, 1e-3}};
  for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
    side x = {.clip = cases[i].clip};
    const outcome o = take(&x, cases[i].norm, usual);
    CU_ASSERT_DOUBLE_EQUAL(o.step.grad_scale, cases[i].want, 1e-15);
    CU_ASSERT_DOUBLE_EQUAL(o.told.grad_norm, cases[i].norm, // before the clip
                           1e-15 * cases[i].norm);
  }
}

/** The mean begins with the first norm and then takes 2 % of each. */
static void test_mean(void)
{
  side x = {0};
  const double norms[] = {4.0, 2.0, 8.0};
  const double want[] = {4.0, 3.96, 4.0408}; // .98 * 4 + .04, .98 * 3.96 + .16
  for (int i = 0; i < 3; i++) {
    take(&x, norms[i], usual);
    CU_ASSERT_DOUBLE_EQUAL(x.control.norm_mean, want[i], 1e-14);
  }
}

/** A norm above spike times the mean is bad; that mean stays.  Without a mean,
 *  or a limit, nothing is a spike. */
static void test_spike(void)
{
  side x = {.spike = 3.0};
  CU_ASSERT_EQUAL(take(&x, 2.0, usual).told.bad, 0.0);
  k_control before = x.control;
  outcome o = take(&x, 6.0 * (1.0 + 1e-9), usual);
  CU_ASSERT(o.told.bad != 0.0 && o.step.skip != 0.0);
  CU_ASSERT_EQUAL(x.control.n_skipped, 1.0);
  x.control.n_skipped = 0.0;
  CU_ASSERT(same_control(&x.control, &before));
  CU_ASSERT_EQUAL(take(&x, 6.0 * (1.0 - 1e-9), usual).told.bad, 0.0);
  x = (side){.spike = 3.0};
  CU_ASSERT_EQUAL(take(&x, 1e30, usual).told.bad, 0.0);
  x = (side){.control = {.norm_mean = 1.0}};
  CU_ASSERT_EQUAL(take(&x, 1e30, usual).told.bad, 0.0);
}

/** NaN or Inf of the loss or of the norm; also of a part of the loss that
 *  counts. */
static void test_not_finite(void)
{
  const double bad[] = {NAN, INFINITY, -INFINITY};
  for (int i = 0; i < 3; i++)
    for (int where = 0; where < 3; where++) {
      side x = {.alpha = 0.5, .control = {.norm_mean = 2.0, .n_updates = 7.0}};
      k_loss loss = usual;
      loss.lm = where == 0 ? bad[i] : loss.lm;
      loss.kd = where == 1 ? bad[i] : loss.kd;
      const outcome o = take(&x, where == 2 ? bad[i] : 1.0, loss);
      CU_ASSERT(o.told.bad != 0.0 && o.step.skip != 0.0);
      CU_ASSERT(x.control.norm_mean == 2.0 && x.control.n_updates == 7.0);
      CU_ASSERT(x.control.n_skipped == 1.0 && x.control.stopped == 0.0);
    }
}

/** After a bad step that stops, no later one is good, until somebody sets the
 *  control anew; without stop each is judged on its own. */
static void test_latch(void)
{
  side x = {.stop = true};
  CU_ASSERT_EQUAL(take(&x, 1.0, usual).told.bad, 0.0);
  CU_ASSERT_EQUAL(x.control.stopped, 0.0);
  CU_ASSERT(take(&x, NAN, usual).told.bad != 0.0);
  for (int i = 0; i < 3; i++) {
    const outcome o = take(&x, 1.0, usual);
    CU_ASSERT(o.told.bad != 0.0 && o.step.skip != 0.0);
    CU_ASSERT(o.told.loss == 3.0 &&
              o.told.grad_norm == 1.0); // told all the same
    CU_ASSERT(o.told.control.stopped != 0.0);
    x.stop = false; // which a later step's arguments do not undo
  }
  CU_ASSERT(x.control.n_updates == 1.0 && x.control.n_skipped == 4.0);
  x.control.stopped = 0.0;
  CU_ASSERT_EQUAL(take(&x, 1.0, usual).told.bad, 0.0);
  CU_ASSERT(take(&x, NAN, usual).told.bad != 0.0); // skipped
  CU_ASSERT_EQUAL(take(&x, 1.0, usual).told.bad, 0.0);
  CU_ASSERT_EQUAL(x.control.n_updates, 3.0);
}

/** Squares are added in the order of ranks, so that all get the same bits. */
static void test_order(void)
{
  double squares[4] = {1e16, 1.0, 1.0, 1.0}; // each 1 is lost after 1e16
  k_told told;
  k_adamw_step step;
  k_control control = {0};
  k_loss loss = usual;
  TENSOR_RUN(RT_F64, step_control, .squares = tensor_f64(squares, 4, 1),
             .loss = tensor_f64(&loss.lm, 1, K_N_LOSS),
             .control = tensor_f64(&control.norm_mean, 1, K_N_CONTROL),
             .step = tensor_f64(&step.lr, 1, 5),
             .told = tensor_f64(&told.loss, 1, K_N_TOLD));
  CU_ASSERT_EQUAL(told.grad_norm, 1e8);
}

RT_TEST_MAIN("step_control", {"what it tells", test_told},
             {"bias corrections", test_bias}, {"clip", test_clip},
             {"running mean", test_mean}, {"spikes", test_spike},
             {"NaN and Inf", test_not_finite}, {"the latch", test_latch},
             {"order of ranks", test_order})
