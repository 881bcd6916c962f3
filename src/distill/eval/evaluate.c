/** \file evaluate.c
 *  Cross-entropy, accuracy, calibration, and KL to a teacher, one chunk of
 *  tokens at a time: logits of a whole batch are never in memory.
 *
 *  Each chunk needs one small all-gather over tp: each rank's statistics of its
 *  vocabulary tile, and its best token.  Every rank combines these in the same
 *  order, so all ranks of a tp group obtain the same sums. */
#include "distill/eval/evaluate.h"

#include "kernels/shards.h"

#include "base/bundle.h"
#include "base/split.h"
#include "distill/teacher/hidden_teacher.h"
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
  rt_evaluator_spec spec;
  rt_hidden_teacher *teacher;  // owned; NULL: none
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
  const rt_dtype real = rt_model_types(e->spec.student)->tile;
  const int64_t n_tokens = e->spec.micro_rows * e->spec.rows.seq;
  const int64_t v_local = rt_model_head(e->spec.student).w.rows;
  const int n_tiles = e->teacher != NULL ? 2 : 1;
  const double row_bytes = (double)v_local * (double)rt_dtype_size(real);
  const double fits = e->spec.chunk_bytes / (row_bytes * n_tiles);
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
      rt_bundle_take(s, n * N_COLS * (size_t)e->spec.grid->tp, sizeof *e->all);
  e->column = rt_bundle_take(s, n * K_N_STAT, sizeof *e->column);
}

static rt_err allocate(rt_evaluator *e)
{
  rt_bundle s = {0};
  lay_out(e, &s);
  RT_TRY(rt_bundle_alloc(&s, "statistics of tokens"));
  e->block = s.block;
  lay_out(e, &s);
  RT_TRY(rt_arena_commit(e->arena, rt_dev_memory(e->spec.dev)));
  return rt_batch_create(&e->spec.rows, e->spec.micro_rows, &e->batch);
}

rt_err rt_evaluator_create(const rt_evaluator_spec *spec, rt_evaluator **out)
{
  rt_evaluator *e = calloc(1, sizeof *e);
  *out = e;
  RT_CHECK(e != NULL, RT_ERR_MEM, "an evaluator");
  e->spec = *spec;
  e->spec.teacher = NULL; // it may end with this call
  if (spec->teacher != NULL)
    RT_TRY(rt_hidden_teacher_create(spec->teacher, "evaluation teacher",
                                    &e->teacher));
  RT_TRY(rt_arena_create("evaluation", &e->arena));
  return reserve_views(e);
}

const rt_evaluator_spec *rt_evaluator_about(const rt_evaluator *e)
{
  return &e->spec;
}

double rt_evaluator_beside(const rt_evaluator *e)
{
  rt_evaluator counted = *e;
  rt_bundle s = {0};
  lay_out(&counted, &s);
  return (double)(s.bytes + rt_batch_bytes(&e->spec.rows, e->spec.micro_rows)) +
         (e->teacher != NULL ? rt_hidden_teacher_beside(e->teacher) : 0.0);
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
  RT_TRY(rt_agree(e->spec.world, allocate(e)));
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
  const rt_evaluator_spec *const spec = &e->spec;
  int64_t *rows = calloc((size_t)n + 1, sizeof *rows);
  rt_err err = rows != NULL ? RT_OK : RT_FAIL(RT_ERR_MEM, "a list of rows");
  for (int64_t r = 0; err == RT_OK && r < n; r++)
    rows[r] = first + r;
  const rt_phase was = rt_phases_to(spec->phases, RT_PHASE_INPUT);
  if (err == RT_OK)
    err = rt_batch_fill(e->batch, part, rows, n, NULL);
  rt_phases_to(spec->phases, was);
  free(rows);
  // agree, so that after a damaged row no rank waits in the forward pass
  RT_TRY(rt_agree(e->teacher != NULL ? rt_hidden_teacher_comm(e->teacher)
                                     : spec->grid->comm_tp,
                  err));
  const int64_t n_tokens = n * spec->rows.seq;
  const rt_tokens_in in = {.tok = rt_view_rows(e->tok, 0, n_tokens),
                           .pos = rt_view_rows(e->pos, 0, n_tokens),
                           .doc_start = rt_view_rows(e->doc_start, 0, n_tokens),
                           .n_rows = n,
                           .seq = spec->rows.seq};
  if (n > 0) {
    RT_TRY(rt_dev_put(spec->dev, in.tok, e->batch->tok));
    RT_TRY(rt_dev_put(spec->dev, in.pos, e->batch->pos));
    RT_TRY(rt_dev_put(spec->dev, in.doc_start, e->batch->doc_start));
    RT_TRY(rt_model_forward(e->spec.student, &in, hidden_s));
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
  RT_TRY(rt_dev_get(e->spec.dev, e->column, best));
  for (int64_t i = 0; i < n; i++)
    e->mine[i * N_COLS + col] = e->column[i];
  int32_t *ids = (int32_t *)e->column;
  RT_TRY(rt_dev_get(e->spec.dev, ids, id));
  for (int64_t i = 0; i < n; i++)
    e->mine[i * N_COLS + col + 1] = (double)ids[i];
  return RT_OK;
}

/** Fill this rank's table for a chunk, and gather it over tp. */
static rt_err gather(rt_evaluator *e, int64_t n)
{
  const rt_view stats = rt_view_rows(e->stats, 0, n);
  RT_TRY(rt_dev_get(e->spec.dev, e->column, stats));
  for (int64_t i = 0; i < n; i++)
    memcpy(e->mine + i * N_COLS, e->column + i * K_N_STAT,
           K_N_STAT * sizeof *e->mine);
  RT_TRY(get_best(e, rt_view_rows(e->id_s, 0, n), rt_view_rows(e->best_s, 0, n),
                  COL_BEST_S));
  if (e->teacher != NULL)
    RT_TRY(get_best(e, rt_view_rows(e->id_t, 0, n),
                    rt_view_rows(e->best_t, 0, n), COL_BEST_T));
  return rt_comm_allgather(e->spec.grid->comm_tp, e->mine,
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
    const rt_shards s = {e->all + i * N_COLS, n * N_COLS, e->spec.grid->tp};
    add_token(&s, label[i], e->teacher != NULL, sums);
  }
  return RT_OK;
}

/** Evaluate tokens [tok0, tok0 + n) of the batch, whose first row is \a first.
 */
static rt_err run_chunk(rt_evaluator *e, rt_view hidden_s, rt_view hidden_t,
                        int64_t first, int64_t tok0, rt_sums *sums)
{
  rt_dev *dev = e->spec.dev;
  const int64_t n = hidden_s.rows;
  const rt_head head = rt_model_head(e->spec.student);
  const rt_view z_s = rt_view_rows(e->z_s, 0, n);
  const rt_view label = rt_view_rows(e->label, 0, n);
  const rt_view stats = rt_view_rows(e->stats, 0, n);
  RT_TRY(rt_dev_put(dev, label, e->batch->label + tok0));
  // find the best token first, because the statistics overwrite the logits
  launch_head(dev, &head, hidden_s, z_s, rt_view_rows(e->id_s, 0, n),
              rt_view_rows(e->best_s, 0, n));
  if (e->show != NULL)
    RT_TRY(
        rt_agree(e->spec.grid->comm_tp,
                 e->show(e->shown_to, z_s, first * e->spec.rows.seq + tok0)));
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
  const int64_t n_tokens = n * e->spec.rows.seq;
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
  const rt_evaluator_spec *const spec = &e->spec;
  const int64_t micro = spec->micro_rows;
  const int64_t stride = spec->grid->dp * micro;
  for (int64_t all = 0; all < n_rows; all += stride) {
    const int64_t r = all + spec->grid->i_dp * micro;
    const int64_t left = n_rows > r ? n_rows - r : 0;
    if (left == 0 && e->teacher == NULL)
      break;
    spec->beat(r, "evaluation");
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
  const rt_evaluator_spec *const spec = &e->spec;
  const int64_t there = rt_corpus_n_rows(spec->rows.corpus, part);
  const int64_t n = n_rows == 0 || n_rows > there ? there : n_rows;
  RT_CHECK(n > 0, RT_ERR_CONFIG,
           "no held-out row of %lld tokens: increase data.valid_fraction, "
           "reduce data.seq or use more text",
           (long long)spec->rows.seq);
  rt_sums sums = {0};
  const rt_phase was = rt_phases_to(spec->phases, RT_PHASE_EVAL);
  rt_err err = rt_agree(spec->world, run_share(e, part, n, &sums));
  if (err == RT_OK)
    err = rt_comm_allreduce_host(spec->grid->comm_dp, &sums,
                                 sizeof sums / sizeof(double), RT_F64, RT_SUM);
  if (err == RT_OK)
    result_of(&sums, e->teacher != NULL, out);
  rt_phases_to(spec->phases, was);
  return err;
}
