/** \file test_evaluate.c
 *  Evaluation results against sums over written logits, on every layout.
 *  ranks: 1 2 4 */
#include "distill/eval/logits_out.h"
#include "distill/job/weights.h"
#include "support/scene.h"

#include <math.h>
#include <string.h>

enum { V = SCENE_V, T = SCENE_T, N_BINS = 15 };
// bytes of logit tiles: a batch at once, or several chunks
static const double at_once = 0x1p26, in_chunks = 0x1p20 / 100;

/** The layout of an evaluation. */
typedef struct layout {
  int tp;
  int micro_rows;
  double chunk_bytes;
  bool with_teacher;
  const char *device;
  int teacher_tp;
} layout;

/** An evaluator of one model and everything below it. */
typedef struct side {
  rt_grid grid, grid_t;
  rt_dev *dev;
  rt_corpus *corpus;
  rt_phases phases;
  rt_model *model;
  rt_evaluator *evaluator;
} side;

static void plan(side *x, const scene *s, layout l)
{
  const rt_model_spec model = {.arch = &s->arch,
                               .grid = &x->grid,
                               .dev = x->dev,
                               .max_rows = l.micro_rows,
                               .seq = T};
  const rt_teacher_model teacher = {.world = s->world,
                                    .dev = x->dev,
                                    .student = &x->grid,
                                    .teacher = &x->grid_t,
                                    .arch = &s->arch,
                                    .weights = s->teacher,
                                    .student_vocab = V,
                                    .micro_rows = l.micro_rows,
                                    .seq = T};
  RT_OKAY(rt_model_create("student", &model, &x->model));
  const rt_evaluator_spec spec = {
      .world = s->world,
      .grid = &x->grid,
      .dev = x->dev,
      .student = x->model,
      .teacher = l.with_teacher ? &teacher : NULL,
      .rows = {.seq = T, .corpus = x->corpus, .mask_documents = true},
      .micro_rows = l.micro_rows,
      .chunk_bytes = l.chunk_bytes,
      .phases = &x->phases,
      .beat = scene_on_beat};
  RT_OKAY(rt_evaluator_create(&spec, &x->evaluator));
}

static void start(side *x, const scene *s, const char *model, layout l)
{
  *x = (side){0};
  RT_OKAY(rt_grid_init(&x->grid, s->world, l.tp, "tp"));
  RT_OKAY(rt_grid_init(&x->grid_t, s->world, l.teacher_tp, "tp"));
  RT_OKAY(rt_dev_create(l.device, 1, &x->dev));
  rt_phases_start(&x->phases, RT_PHASE_OTHER);
  x->corpus = scene_corpus(s, 0.3);
  plan(x, s, l);
  RT_OKAY(rt_model_commit(x->model));
  RT_OKAY(rt_evaluator_commit(x->evaluator));
  RT_OKAY(rt_weights_load(s->world, x->dev, x->model, model));
}

static void finish(side *x)
{
  rt_evaluator_destroy(&x->evaluator);
  rt_model_destroy(&x->model);
  rt_corpus_close(&x->corpus);
  rt_dev_destroy(&x->dev);
  rt_grid_clear(&x->grid_t);
  rt_grid_clear(&x->grid);
}

/** Written by all ranks to a new file, and read again: logits [rows, T, V] into
 *  \a z. */
static rt_eval_result evaluate_to_file(const side *x, const scene *s,
                                       int64_t n_rows, float *z)
{
  char *data = NULL;
  size_t n = 0;
  rt_eval_result r = {0};
  const rt_logits_out_spec spec = {.evaluator = x->evaluator,
                                   .path = s->logits,
                                   .part = RT_VALID,
                                   .n_rows = n_rows};
  if (rt_comm_rank(s->world) == 0)
    RT_OKAY(rt_path_remove(s->logits));
  RT_OKAY(rt_logits_out(&spec, &r));
  RT_OKAY(rt_file_slurp(s->logits, 1 << 26, &data, &n));
  CU_ASSERT_EQUAL_FATAL(n, (size_t)(n_rows * T * V) * sizeof(float));
  memcpy(z, data, n);
  free(data);
  return r;
}

/** The first \a n_rows held-out rows; logits [rows, T, V] into \a z unless
 *  NULL. */
static rt_eval_result evaluate(const scene *s, const char *model, layout l,
                               int64_t n_rows, float *z)
{
  side x;
  rt_eval_result r = {0};
  start(&x, s, model, l);
  if (z != NULL)
    r = evaluate_to_file(&x, s, n_rows, z);
  else
    RT_OKAY(rt_evaluate(x.evaluator, RT_VALID, n_rows, &r));
  finish(&x);
  return r;
}

static void read_labels(const scene *s, int64_t n_rows, uint32_t *label)
{
  rt_corpus *c = scene_corpus(s, 0.3);
  uint32_t tok[T + 1];
  CU_ASSERT_FATAL(rt_corpus_n_rows(c, RT_VALID) >= n_rows);
  for (int64_t r = 0; r < n_rows; r++) {
    RT_OKAY(rt_corpus_row(c, RT_VALID, r, tok, NULL, NULL));
    memcpy(label + r * T, tok + 1, T * sizeof *label);
  }
  rt_corpus_close(&c);
}

static double log_sum_exp(const float *z)
{
  double top = -INFINITY, sum = 0.0;
  for (int v = 0; v < V; v++)
    top = fmax(top, (double)z[v]);
  for (int v = 0; v < V; v++)
    sum += exp((double)z[v] - top);
  return top + log(sum);
}

static int best_of(const float *z)
{
  int best = 0;
  for (int v = 1; v < V; v++)
    best = z[v] > z[best] ? v : best;
  return best;
}

/** The definitions, implemented directly. */
static rt_eval_result reference(const float *z_s, const float *z_t,
                                const uint32_t *label, int64_t n)
{
  rt_eval_result r = {.tokens = n};
  double hit[N_BINS] = {0}, sure[N_BINS] = {0};
  for (int64_t i = 0; i < n; i++) {
    const float *s = z_s + i * V, *t = z_t + i * V;
    const double lse_s = log_sum_exp(s), lse_t = log_sum_exp(t);
    const int best = best_of(s);
    const double p = exp((double)s[best] - lse_s);
    const int bin = p >= 1.0 ? N_BINS - 1 : (int)(p * N_BINS);
    r.loss += (lse_s - (double)s[label[i]]) / (double)n;
    r.top1 += (best == (int)label[i]) / (double)n;
    r.agree += (best == best_of(t)) / (double)n;
    hit[bin] += best == (int)label[i];
    sure[bin] += p;
    for (int v = 0; v < V; v++)
      r.kl += exp((double)t[v] - lse_t) *
              ((double)t[v] - lse_t - ((double)s[v] - lse_s)) / (double)n;
  }
  for (int b = 0; b < N_BINS; b++)
    r.ece += fabs(hit[b] - sure[b]) / (double)n;
  r.ppl = exp(r.loss);
  return r;
}

static void compare(const rt_eval_result *got, const rt_eval_result *want,
                    bool with_teacher)
{
  CU_ASSERT_EQUAL(got->tokens, want->tokens);
  CU_ASSERT_DOUBLE_EQUAL(got->loss, want->loss, 1e-5);
  CU_ASSERT_DOUBLE_EQUAL(got->ppl, want->ppl, 1e-5 * want->ppl);
  CU_ASSERT_DOUBLE_EQUAL(got->top1, want->top1, 1e-9);
  CU_ASSERT_DOUBLE_EQUAL(got->ece, want->ece, 1e-5);
  CU_ASSERT_EQUAL(got->with_teacher, with_teacher);
  if (with_teacher) {
    CU_ASSERT_DOUBLE_EQUAL(got->kl, want->kl, 1e-5);
    CU_ASSERT_DOUBLE_EQUAL(got->agree, want->agree, 1e-9);
  }
}

enum { ROWS = 13 }; // not a multiple of any dp x micro_rows: some ranks idle

static void test_measures(void)
{
  scene s;
  static float z_s[ROWS * T * V], z_t[ROWS * T * V], again[ROWS * T * V];
  uint32_t label[ROWS * T];
  scene_create(&s);
  const int n = rt_comm_size(s.world);
  const layout plain = {1, 2, at_once, false, "cpu", 1};
  float largest = 0.0f; // logit: rounding goes with it
  evaluate(&s, s.student, plain, ROWS, z_s);
  evaluate(&s, s.teacher, plain, ROWS, z_t);
  read_labels(&s, ROWS, label);
  for (int j = 0; j < ROWS * T * V; j++)
    largest = fmaxf(largest, fabsf(z_s[j]));
  const rt_eval_result want = reference(z_s, z_t, label, ROWS * T);
  CU_ASSERT(want.kl > 0.01 && want.agree < 0.9 && want.ece > 0.01);
  const int half = n > 2 ? n / 2 : 1;
  const layout layouts[] = {
      {1, 2, at_once, false, "cpu", 1},
      {n, 4, at_once, false, "cpu", n},
      {n, 12, in_chunks, false, "check", n}, // several chunks
      {1, 6, in_chunks, true, "cpu", 1},
      {n, 12, in_chunks, true, "check", n},
      // rows of several groups for one teacher; fewer
      // rows than teachers; groups with none left
      {1, 2, in_chunks, true, "cpu", n},
      {1, 6, at_once, true, "check", half},
      {n, 1, at_once, true, "cpu", 1},
      {half, 5, in_chunks, true, "check", n},
      {half, 4, at_once, true, "cpu", 1}};
  for (size_t i = 0; i < sizeof layouts / sizeof layouts[0]; i++) {
    const layout l = layouts[i];
    const rt_eval_result got = evaluate(&s, s.student, l, ROWS, again);
    compare(&got, &want, l.with_teacher);
    for (int j = 0; j < ROWS * T * V; j++)
      if (fabsf(again[j] - z_s[j]) > 2e-5f * largest) {
        CU_FAIL("logits of another layout differ");
        break;
      }
  }
  scene_clear(&s);
}

/** The host waits for the device once for each chunk of tokens: what ranks
 *  exchange stands in the device's queue. */
static void test_waits(void)
{
  scene s;
  side x;
  rt_eval_result r;
  scene_create(&s);
  const int n = rt_comm_size(s.world);
  start(&x, &s, s.student, (layout){n, 1, at_once, true, "check", n});
  RT_OKAY(rt_dev_sync(x.dev));
  const int64_t before = rt_dev_host_waits(x.dev);
  RT_OKAY(rt_evaluate(x.evaluator, RT_VALID, 5, &r));
  CU_ASSERT_EQUAL(r.tokens, 5 * T);
  CU_ASSERT_EQUAL(rt_dev_host_waits(x.dev) - before, 5);
  finish(&x);
  scene_clear(&s);
}

/** A teacher compared with itself. */
static void test_itself(void)
{
  scene s;
  scene_create(&s);
  const int n = rt_comm_size(s.world);
  const layout l = {n, 2, at_once, true, "cpu", 1};
  const rt_eval_result r = evaluate(&s, s.teacher, l, 0, NULL);
  CU_ASSERT(r.tokens > ROWS * T && r.tokens % T == 0); // all held-out rows
  CU_ASSERT(fabs(r.kl) < 1e-6);
  CU_ASSERT(r.agree == 1.0);
  scene_clear(&s);
}

RT_TEST_MAIN("evaluate", {"measures equal their definitions", test_measures},
             {"one wait of the host for each chunk", test_waits},
             {"KL of a model to itself is 0", test_itself})
