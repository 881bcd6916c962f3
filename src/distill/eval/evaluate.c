/** \file evaluate.c
 *  Cross-entropy, accuracy, calibration, and KL to a teacher, one chunk of
 *  tokens at a time: logits of a whole batch are never in memory.
 *
 *  Each chunk needs one small all-gather over tp: each rank's statistics of its
 *  vocabulary tile, and its best token.  Every rank combines these in the same
 *  order, so all ranks of a tp group obtain the same sums. */
#include "distill/eval/evaluate.h"

#include "distill/data/job_data.h"
#include "base/bundle.h"
#include "base/split.h"
#include "distill/teacher/hidden_teacher.h"
#include "distill/job/job_memory.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { N_BINS = 15 };

/** Columns that a rank contributes per token: the kernel's statistics, then
 *  these. */
enum {
  COL_BEST_S = K_N_STAT, // largest logit of this tile, student
  COL_ID_S,              // its id
  COL_BEST_T,            // the same for the teacher
  COL_ID_T,
  N_COLS
};

/** Sums over tokens; only doubles, so that a single all-reduce can sum them. */
typedef struct rt_sums {
  double tokens, ce, correct, kl, agree;
  double bin_confidence[N_BINS], bin_correct[N_BINS];
} rt_sums;

struct rt_evaluator {
  rt_job *job;                 // borrowed
  rt_model *student;           // borrowed
  rt_hidden_teacher *teacher;  // owned, NULL without eval.teacher
  rt_batch *batch;             // owned
  rt_arena *arena;             // owned: memory of all views below
  int64_t chunk;               // tokens per tile
  rt_view tok, pos, doc_start; // i32 [N, 1]
  rt_view label;               // i32 [chunk, 1]
  rt_view z_s, z_t;            // real [chunk, V_pad / tp]
  rt_view id_s, id_t;          // i32 [chunk, 1]
  rt_view best_s, best_t;      // f64 [chunk, 1]
  rt_view stats;               // f64 [chunk, K_N_STAT]
  void *block;                 // owned: memory of the three arrays below
  double *mine;                // [chunk, N_COLS]
  double *all;                 // [tp, chunk, N_COLS]
  double *column;              // [chunk, K_N_STAT]: copy from the device
  rt_eval_tile_fn *show;       // called with each tile; NULL: none
  void *shown_to;              // borrowed: its argument
};

static rt_err reserve_views(rt_evaluator *e)
{
  const rt_dtype real = rt_dev_real(e->job->dev);
  const int64_t n_tokens = e->job->micro_rows * e->job->seq;
  const int64_t v_local = rt_model_head(e->student).w.rows;
  const int n_tiles = e->teacher != NULL ? 2 : 1;
  const double bytes =
      rt_job_chunk_bytes(e->job, &e->job->arch_s, &e->job->grid_s);
  const double fits =
      bytes / ((double)v_local * (double)rt_dtype_size(real) * n_tiles);
  e->chunk = rt_chunk_rows(n_tokens, fits);
  const struct {
    const char *name;
    rt_dtype type;
    int64_t rows, cols;
    rt_view *view;
  } plan[] = {
      {"tok", RT_I32, n_tokens, 1, &e->tok},
      {"pos", RT_I32, n_tokens, 1, &e->pos},
      {"doc_start", RT_I32, n_tokens, 1, &e->doc_start},
      {"label", RT_I32, e->chunk, 1, &e->label},
      {"student's best id", RT_I32, e->chunk, 1, &e->id_s},
      {"student's best logit", RT_F64, e->chunk, 1, &e->best_s},
      {"statistics", RT_F64, e->chunk, K_N_STAT, &e->stats},
      {"student's logits", real, e->chunk, v_local, &e->z_s},
      {"teacher's best id", RT_I32, e->chunk, 1, &e->id_t},
      {"teacher's best logit", RT_F64, e->chunk, 1, &e->best_t},
      {"teacher's logits", real, e->chunk, v_local, &e->z_t},
  };
  const size_t n = sizeof plan / sizeof plan[0];
  for (size_t i = 0; i < (n_tiles == 2 ? n : n - 3); i++)
    RT_TRY(rt_arena_reserve(e->arena, plan[i].name, plan[i].type, plan[i].rows,
                            plan[i].cols, plan[i].view));
  return RT_OK;
}

static void lay_out(rt_evaluator *e, rt_bundle *s)
{
  const size_t n = (size_t)e->chunk;
  e->mine = rt_bundle_take(s, n * N_COLS, sizeof *e->mine);
  e->all =
      rt_bundle_take(s, n * N_COLS * (size_t)e->job->grid_s.tp, sizeof *e->all);
  e->column = rt_bundle_take(s, n * K_N_STAT, sizeof *e->column);
}

static rt_err host_arrays(rt_evaluator *e)
{
  rt_bundle s = {0};
  lay_out(e, &s);
  rt_job_beside(
      e->job, "evaluation on the host",
      (double)(s.bytes + rt_job_batch_bytes(e->job, e->job->micro_rows)));
  RT_TRY(rt_bundle_alloc(&s, "statistics of tokens"));
  e->block = s.block;
  lay_out(e, &s);
  return rt_job_batch(e->job, e->job->micro_rows, &e->batch);
}

static rt_err plan_teacher(rt_evaluator *e)
{
  rt_job *job = e->job;
  RT_CHECK((job->needs & RT_NEED_TEACHER) != 0, RT_ERR_INTERNAL,
           "eval.teacher without RT_NEED_TEACHER");
  RT_CHECK(rt_arch_true_vocab(&job->arch_t) == rt_arch_true_vocab(&job->arch_s),
           RT_ERR_CONFIG,
           "eval.teacher: the teacher has %lld ids, the student %lld: they "
           "must share a tokenizer; if they differ only in padding, set "
           "data.vocab to its size",
           (long long)rt_arch_true_vocab(&job->arch_t),
           (long long)rt_arch_true_vocab(&job->arch_s));
  RT_TRY(rt_hidden_teacher_create(job, "evaluation teacher", &e->teacher));
  rt_job_beside(job, "evaluation teacher, rows on the way",
                rt_hidden_teacher_beside(e->teacher));
  return RT_OK;
}

rt_err rt_evaluator_create(rt_job *job, rt_model *student, rt_evaluator **out)
{
  rt_evaluator *e = calloc(1, sizeof *e);
  *out = e;
  RT_CHECK(e != NULL, RT_ERR_MEM, "an evaluator");
  e->job = job;
  e->student = student;
  RT_CHECK(job->corpus != NULL, RT_ERR_CONFIG,
           "evaluation needs held-out text: name the corpus in data.files");
  if (rt_deck_bool(job->deck, RT_KEY_EVAL_TEACHER))
    RT_TRY(plan_teacher(e));
  RT_TRY(rt_arena_create("evaluation", &e->arena));
  RT_TRY(reserve_views(e));
  return rt_agree(job->world, host_arrays(e));
}

int rt_evaluator_arenas(const rt_evaluator *e, const rt_arena *plans[4])
{
  int n = 0;
  plans[n++] = e->arena;
  if (e->teacher != NULL)
    n += rt_hidden_teacher_arenas(e->teacher, plans + n);
  return n;
}

rt_err rt_evaluator_commit(rt_evaluator *e)
{
  rt_job *job = e->job;
  RT_TRY(
      rt_agree(job->world, rt_arena_commit(e->arena, rt_dev_memory(job->dev))));
  return e->teacher != NULL ? rt_hidden_teacher_commit(e->teacher) : RT_OK;
}

void rt_evaluator_destroy(rt_evaluator **out)
{
  rt_evaluator *e = *out;
  *out = NULL;
  if (e == NULL)
    return;
  rt_hidden_teacher_destroy(&e->teacher);
  rt_batch_destroy(&e->batch);
  rt_arena_destroy(&e->arena);
  free(e->block);
  free(e);
}

void rt_evaluator_show(rt_evaluator *e, rt_eval_tile_fn *fn, void *self)
{
  e->show = fn;
  e->shown_to = self;
}

/** Read rows [first, first + n) of a part, copy them to the device, and compute
 *  the hidden states of both models. */
static rt_err forward(rt_evaluator *e, rt_part part, int64_t first, int64_t n,
                      rt_view *hidden_s, rt_view *hidden_t)
{
  rt_job *job = e->job;
  int64_t *rows = calloc((size_t)n + 1, sizeof *rows);
  rt_err err = rows != NULL ? RT_OK : RT_FAIL(RT_ERR_MEM, "a list of rows");
  for (int64_t r = 0; err == RT_OK && r < n; r++)
    rows[r] = first + r;
  const rt_phase was = rt_phases_to(&job->phases, RT_PHASE_INPUT);
  if (err == RT_OK)
    err = rt_batch_fill(e->batch, part, rows, n, NULL);
  rt_phases_to(&job->phases, was);
  free(rows);
  // agree, so that after a damaged row no rank waits in the forward pass
  RT_TRY(rt_agree(e->teacher != NULL ? rt_hidden_teacher_comm(e->teacher)
                                     : job->grid_s.comm_tp,
                  err));
  const int64_t n_tokens = n * job->seq;
  const rt_tokens_in in = {.tok = rt_view_rows(e->tok, 0, n_tokens),
                           .pos = rt_view_rows(e->pos, 0, n_tokens),
                           .doc_start = rt_view_rows(e->doc_start, 0, n_tokens),
                           .n_rows = n,
                           .seq = job->seq};
  if (n > 0) {
    RT_TRY(rt_dev_put(job->dev, in.tok, e->batch->tok));
    RT_TRY(rt_dev_put(job->dev, in.pos, e->batch->pos));
    RT_TRY(rt_dev_put(job->dev, in.doc_start, e->batch->doc_start));
    RT_TRY(rt_model_forward(e->student, &in, hidden_s));
  }
  return e->teacher != NULL
             ? rt_hidden_teacher_forward(e->teacher, e->batch, &in, hidden_t)
             : RT_OK;
}

/** Compute the logits of \a n hidden states into \a z, and the best token of
 *  each. */
static void launch_head(rt_dev *dev, const rt_head *head, rt_view hidden,
                        rt_view z, rt_view id, rt_view best)
{
  rt_head_logits(dev, head, hidden, z);
  RT_RUN(dev, argmax, .z = z, .id = id, .best = best, .v0 = head->v0,
         .v_true = head->vocab);
}

/** Set column \a col of this rank's table from the device views \a id and \a
 *  best. */
static rt_err get_best(rt_evaluator *e, rt_view id, rt_view best, int col)
{
  const int64_t n = id.rows;
  RT_TRY(rt_dev_get(e->job->dev, e->column, best));
  for (int64_t i = 0; i < n; i++)
    e->mine[i * N_COLS + col] = e->column[i];
  int32_t *ids = (int32_t *)e->column;
  RT_TRY(rt_dev_get(e->job->dev, ids, id));
  for (int64_t i = 0; i < n; i++)
    e->mine[i * N_COLS + col + 1] = (double)ids[i];
  return RT_OK;
}

/** Fill this rank's table for a chunk, and gather it over tp. */
static rt_err gather(rt_evaluator *e, int64_t n)
{
  const rt_view stats = rt_view_rows(e->stats, 0, n);
  RT_TRY(rt_dev_get(e->job->dev, e->column, stats));
  for (int64_t i = 0; i < n; i++)
    memcpy(e->mine + i * N_COLS, e->column + i * K_N_STAT,
           K_N_STAT * sizeof *e->mine);
  RT_TRY(get_best(e, rt_view_rows(e->id_s, 0, n), rt_view_rows(e->best_s, 0, n),
                  COL_BEST_S));
  if (e->teacher != NULL)
    RT_TRY(get_best(e, rt_view_rows(e->id_t, 0, n),
                    rt_view_rows(e->best_t, 0, n), COL_BEST_T));
  return rt_comm_allgather(e->job->grid_s.comm_tp, e->mine,
                           (size_t)n * N_COLS * sizeof *e->mine, e->all);
}

/** The best id over all tiles; ties go to the lower id, which is on the lower
 *  rank. */
static double best_id(const rt_shards *s, int col)
{
  int best = 0;
  for (int r = 1; r < s->tp; r++)
    if (rt_shards_get(s, r, col) > rt_shards_get(s, best, col))
      best = r;
  return rt_shards_get(s, best, col + 1);
}

/** KL(t || s) = sum_v p_t (z_t - z_s) - lse_t + lse_s. */
static double token_kl(const rt_shards *s, double lse_s)
{
  const rt_exp_sum t = rt_shards_exp_sum(s, K_STAT_T_MAX, K_STAT_T_SUM);
  const double dot = rt_shards_scaled(s, K_STAT_DOT, K_STAT_T_MAX, t.max);
  return dot / t.sum - rt_exp_sum_log(t) + lse_s;
}

static void add_token(const rt_shards *s, int32_t label, bool with_teacher,
                      rt_sums *sums)
{
  const rt_exp_sum x = rt_shards_exp_sum(s, K_STAT_MAX, K_STAT_SUM);
  const double lse = rt_exp_sum_log(x);
  const double confidence = 1.0 / x.sum; // exp(max - lse)
  const double id = best_id(s, COL_BEST_S);
  const double correct = id == (double)label ? 1.0 : 0.0;
  const int bin = (int)fmin(N_BINS - 1, confidence * N_BINS);
  sums->tokens += 1.0;
  sums->ce += lse - rt_shards_sum(s, K_STAT_LABEL);
  sums->correct += correct;
  sums->bin_confidence[bin] += confidence;
  sums->bin_correct[bin] += correct;
  if (with_teacher) {
    sums->kl += token_kl(s, lse);
    sums->agree += id == best_id(s, COL_BEST_T) ? 1.0 : 0.0;
  }
}

static rt_err add_chunk(rt_evaluator *e, const int32_t *label, int64_t n,
                        rt_sums *sums)
{
  RT_TRY(gather(e, n));
  for (int64_t i = 0; i < n; i++) {
    const rt_shards s = {e->all + i * N_COLS, n * N_COLS, e->job->grid_s.tp};
    add_token(&s, label[i], e->teacher != NULL, sums);
  }
  return RT_OK;
}

/** Evaluate tokens [tok0, tok0 + n) of the batch, whose first row is \a first.
 */
static rt_err run_chunk(rt_evaluator *e, rt_view hidden_s, rt_view hidden_t,
                        int64_t first, int64_t tok0, rt_sums *sums)
{
  rt_dev *dev = e->job->dev;
  const int64_t n = hidden_s.rows;
  const rt_head head = rt_model_head(e->student);
  const rt_view z_s = rt_view_rows(e->z_s, 0, n);
  const rt_view label = rt_view_rows(e->label, 0, n);
  const rt_view stats = rt_view_rows(e->stats, 0, n);
  RT_TRY(rt_dev_put(dev, label, e->batch->label + tok0));
  // find the best token first, because the statistics overwrite the logits
  launch_head(dev, &head, hidden_s, z_s, rt_view_rows(e->id_s, 0, n),
              rt_view_rows(e->best_s, 0, n));
  if (e->show != NULL)
    RT_TRY(rt_agree(e->job->grid_s.comm_tp,
                    e->show(e->shown_to, z_s, first * e->job->seq + tok0)));
  if (e->teacher != NULL) {
    const rt_head head_t = rt_hidden_teacher_head(e->teacher);
    const rt_view z_t = rt_view_rows(e->z_t, 0, n);
    launch_head(dev, &head_t, hidden_t, z_t, rt_view_rows(e->id_t, 0, n),
                rt_view_rows(e->best_t, 0, n));
    RT_RUN(dev, dense_stats, .z_s = z_s, .z_t = z_t, .label = label,
           .stats = stats, .v0 = head.v0, .v_true = head.vocab, .tau = 1.0,
           .kl = true);
  } else {
    RT_RUN(dev, xent_stats, .z = z_s, .label = label, .stats = stats,
           .v0 = head.v0, .v_true = head.vocab);
  }
  return add_chunk(e, e->batch->label + tok0, n, sums);
}

static rt_err run_rows(rt_evaluator *e, rt_part part, int64_t first, int64_t n,
                       rt_sums *sums)
{
  rt_view hidden_s = {0}, hidden_t = {0};
  RT_TRY(forward(e, part, first, n, &hidden_s, &hidden_t));
  const int64_t n_tokens = n * e->job->seq;
  for (int64_t t = 0; t < n_tokens; t += e->chunk) {
    const int64_t n_chunk = n_tokens - t < e->chunk ? n_tokens - t : e->chunk;
    RT_TRY(run_chunk(e, rt_view_rows(hidden_s, t, n_chunk),
                     e->teacher != NULL ? rt_view_rows(hidden_t, t, n_chunk)
                                        : hidden_t,
                     first, t, sums));
  }
  return RT_OK;
}

/** Evaluate this dp group's share: batches i_dp, i_dp + dp, ...  A group that
 *  has one batch less than another only takes part in the forward of a shared
 *  teacher. */
static rt_err run_share(rt_evaluator *e, rt_part part, int64_t n_rows,
                        rt_sums *sums)
{
  const rt_job *job = e->job;
  const int64_t micro = job->micro_rows;
  const int64_t stride = job->grid_s.dp * micro;
  for (int64_t all = 0; all < n_rows; all += stride) {
    const int64_t r = all + job->grid_s.i_dp * micro;
    const int64_t left = n_rows > r ? n_rows - r : 0;
    if (left == 0 && e->teacher == NULL)
      break;
    job->hooks->beat(r, "evaluation");
    RT_TRY(run_rows(e, part, r, left < micro ? left : micro, sums));
  }
  return RT_OK;
}

static void result_of(const rt_sums *s, bool with_teacher, rt_eval_result *out)
{
  double ece = 0.0;
  for (int i = 0; i < N_BINS; i++)
    ece += fabs(s->bin_correct[i] - s->bin_confidence[i]);
  *out = (rt_eval_result){.tokens = (int64_t)s->tokens,
                          .loss = s->ce / s->tokens,
                          .ppl = exp(s->ce / s->tokens),
                          .top1 = s->correct / s->tokens,
                          .ece = ece / s->tokens,
                          .with_teacher = with_teacher,
                          .kl = s->kl / s->tokens,
                          .agree = s->agree / s->tokens};
}

rt_err rt_evaluate(rt_evaluator *e, rt_part part, int64_t n_rows,
                   rt_eval_result *out)
{
  rt_job *job = e->job;
  const int64_t there = rt_corpus_n_rows(job->corpus, part);
  const int64_t n = n_rows == 0 || n_rows > there ? there : n_rows;
  RT_CHECK(n > 0, RT_ERR_CONFIG,
           "no held-out row of %lld tokens: increase data.valid_fraction, "
           "reduce data.seq or use more text",
           (long long)job->seq);
  rt_sums sums = {0};
  const rt_phase was = rt_phases_to(&job->phases, RT_PHASE_EVAL);
  rt_err err = rt_agree(job->world, run_share(e, part, n, &sums));
  if (err == RT_OK)
    err = rt_comm_allreduce_host(job->grid_s.comm_dp, &sums,
                                 sizeof sums / sizeof(double), RT_F64, RT_SUM);
  if (err == RT_OK)
    result_of(&sums, e->teacher != NULL, out);
  rt_phases_to(&job->phases, was);
  return err;
}
