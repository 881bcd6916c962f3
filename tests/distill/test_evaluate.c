/** \file test_evaluate.c
 *  Evaluation results against sums over written logits, on every layout.
 *  ranks: 1 2 4 */
#include "distill/eval/logits_out.h"
#include "support/scene.h"

#include <math.h>
#include <string.h>

enum { V = SCENE_V, T = SCENE_T, N_BINS = 15 };

/** The layout of an evaluation. */
typedef struct layout {
  int tp;
  int micro_rows;
  double chunk_mib;
  bool with_teacher;
  const char *device;
  int teacher_tp;
} layout;

static rt_deck *make_deck(const scene *s, const char *model, layout l)
{
  char text[4 * RT_PATH_MAX];
  rt_deck *deck = NULL;
  snprintf(text, sizeof text,
           "run: {threads: 1, device: %s}\n"
           "data: {files: [%s], seq: %d, eot: 0, valid_fraction: 0.3}\n"
           "student: {weights: %s, tp: %d}\n"
           "teacher: {weights: %s, tp: %d}\n"
           "loss: {chunk_mib: %g}\n"
           "train: {batch_rows: 240, micro_rows: %d}\n"
           "eval: {teacher: %s}\n",
           l.device, s->corpus, T, model, l.tp, s->teacher, l.teacher_tp,
           l.chunk_mib, l.micro_rows, l.with_teacher ? "true" : "false");
  RT_OKAY(rt_deck_parse("test", text, 0, NULL, &deck));
  return deck;
}

/** The first \a n_rows held-out rows; logits [rows, T, V] into \a z unless
 *  NULL. */
static rt_eval_result evaluate(const scene *s, const char *model, layout l,
                               int64_t n_rows, float *z)
{
  rt_job job;
  rt_model *m = NULL;
  rt_evaluator *e = NULL;
  rt_eval_result r = {0};
  rt_deck *deck = make_deck(s, model, l);
  RT_OKAY(rt_job_init(&job, deck, s->world, &scene_hooks,
                      RT_NEED_STUDENT | RT_NEED_CORPUS |
                          (l.with_teacher ? RT_NEED_TEACHER : 0)));
  const rt_model_spec spec = {.arch = &job.arch_s,
                              .grid = &job.grid_s,
                              .dev = job.dev,
                              .max_rows = job.micro_rows,
                              .seq = T};
  RT_OKAY(rt_model_create("student", &spec, &m));
  RT_OKAY(rt_evaluator_create(&job, m, &e));
  RT_OKAY(rt_model_commit(m));
  RT_OKAY(rt_evaluator_commit(e));
  RT_OKAY(rt_job_load_weights(&job, m, model));
  if (z == NULL) {
    RT_OKAY(rt_evaluate(e, RT_VALID, n_rows, &r));
  } else {
    char *data = NULL;
    size_t n = 0;
    if (rt_comm_rank(s->world) == 0) // it is to be a new file
      RT_OKAY(rt_path_remove(s->logits));
    RT_OKAY(rt_logits_out(&(rt_logits_out_spec){.job = &job,
                                                .evaluator = e,
                                                .student = m,
                                                .path = s->logits,
                                                .part = RT_VALID,
                                                .n_rows = n_rows},
                          &r));
    RT_OKAY(rt_file_slurp(s->logits, 1 << 26, &data, &n));
    CU_ASSERT_EQUAL_FATAL(n, (size_t)(n_rows * T * V) * sizeof(float));
    memcpy(z, data, n);
    free(data);
  }
  rt_evaluator_destroy(&e);
  rt_model_destroy(&m);
  rt_job_clear(&job);
  rt_deck_destroy(&deck);
  return r;
}

static void read_labels(const scene *s, int64_t n_rows, uint32_t *label)
{
  const char *files[] = {s->corpus};
  const rt_corpus_spec spec = {.n_files = 1,
                               .files = files,
                               .seq = T,
                               .vocab = V,
                               .eot = 0,
                               .valid_fraction = 0.3,
                               .split_seed = 1};
  rt_corpus *c = NULL;
  uint32_t tok[T + 1];
  RT_OKAY(rt_corpus_open(&spec, &c));
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
  const layout plain = {1, 2, 64, false, "cpu", 1};
  float largest = 0.0f; // logit: rounding goes with it
  evaluate(&s, s.student, plain, ROWS, z_s);
  evaluate(&s, s.teacher, plain, ROWS, z_t);
  read_labels(&s, ROWS, label);
  for (int j = 0; j < ROWS * T * V; j++)
    largest = fmaxf(largest, fabsf(z_s[j]));
  const rt_eval_result want = reference(z_s, z_t, label, ROWS * T);
  CU_ASSERT(want.kl > 0.01 && want.agree < 0.9 && want.ece > 0.01);
  const int half = n > 2 ? n / 2 : 1;
  const layout layouts[] = {{1, 2, 64, false, "cpu", 1},
                            {n, 4, 64, false, "cpu", n},
                            {n, 12, 0.01, false, "check", n}, // several chunks
                            {1, 6, 0.01, true, "cpu", 1},
                            {n, 12, 0.01, true, "check", n},
                            // rows of several groups for one teacher; fewer
                            // rows than teachers; groups with none left
                            {1, 2, 0.01, true, "cpu", n},
                            {1, 6, 64, true, "check", half},
                            {n, 1, 64, true, "cpu", 1},
                            {half, 5, 0.01, true, "check", n},
                            {half, 4, 64, true, "cpu", 1}};
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

/** A teacher compared with itself. */
static void test_itself(void)
{
  scene s;
  scene_create(&s);
  const int n = rt_comm_size(s.world);
  const layout l = {n, 2, 64, true, "cpu", 1};
  const rt_eval_result r = evaluate(&s, s.teacher, l, 0, NULL);
  CU_ASSERT(r.tokens > ROWS * T && r.tokens % T == 0); // all held-out rows
  CU_ASSERT(fabs(r.kl) < 1e-6);
  CU_ASSERT(r.agree == 1.0);
  scene_clear(&s);
}

RT_TEST_MAIN("evaluate", {"measures equal their definitions", test_measures},
             {"KL of a model to itself is 0", test_itself})
