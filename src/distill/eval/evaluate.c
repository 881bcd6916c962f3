/** \file evaluate.c
 *  Cross-entropy, accuracy, calibration, and KL to a teacher, one chunk of
 *  tokens at a time: logits of a whole batch are never in memory.
 *
 *  Each chunk needs one small gather over tp, in the device's queue: each
 * rank's statistics of its vocabulary tile, and its best token.  Every rank
 * combines these in the same order, so all ranks of a tp group obtain the same
 * sums. */
#include "distill/eval/evaluate.h"

#include "kernels/shards.h"

#include "base/bundle.h"
#include "base/split.h"
#include "distill/teacher/hidden_teacher.h"
#include <math.h>
#include <stdlib.h>

enum { N_BINS = 15 };

/** Doubles that a rank contributes per token: the statistics of its tile, the
 *  largest logits of student and teacher, and in one their ids. */
enum { N_WORDS = K_N_STAT + 3 };

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
  rt_view board;               // f64 [tp, chunk * N_WORDS]: see rt_share
  void *block;                 // owned: memory of the next one
  double *all;                 // [tp, chunk * N_WORDS]: the board on the host
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
      {"statistics", RT_F64, e->spec.grid->tp, e->chunk * N_WORDS, &e->board},
      {"student's logits", real, e->chunk, v_local, &e->z_s},
      {"teacher's logits", real, e->chunk, v_local, &e->z_t},
  };
  const size_t n = sizeof plan / sizeof plan[0];
  for (size_t i = 0; i < (n_tiles == 2 ? n : n - 1); i++)
    RT_TRY(rt_arena_reserve(e->arena, plan[i].name, plan[i].type, plan[i].rows,
                            plan[i].cols, plan[i].view));
  return RT_OK;
}

static void lay_out(rt_evaluator *e, rt_bundle *s)
{
  const size_t words = (size_t)(e->chunk * N_WORDS * e->spec.grid->tp);
  e->all = rt_bundle_take(s, words, sizeof *e->all);
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

/** The largest logit of each token in a tile, and its id. */
typedef struct rt_best {
  rt_view z, id; // f64 [n, 1], i32 [n, 1]
} rt_best;

/** What a rank contributes for n tokens: its row of the board, of n * N_WORDS
 *  doubles. */
typedef struct rt_share {
  rt_view stats; // f64 [n, K_N_STAT]
  rt_best s, t;  // t only with a teacher
} rt_share;

static rt_share share_of(double *row, int64_t n)
{
  double *const best = row + n * K_N_STAT;
  int32_t *const ids = (int32_t *)(best + 2 * n);
  return (rt_share){
      .stats = rt_view_of(row, RT_F64, n, K_N_STAT),
      .s = {rt_view_of(best, RT_F64, n, 1), rt_view_of(ids, RT_I32, n, 1)},
      .t = {rt_view_of(best + n, RT_F64, n, 1),
            rt_view_of(ids + n, RT_I32, n, 1)}};
}

/** The board for a chunk of \a n tokens. */
static rt_view board_of(const rt_evaluator *e, int64_t n)
{
  return rt_view_of(e->board.data, RT_F64, e->spec.grid->tp, n * N_WORDS);
}

/** The share of this rank, on the device. */
static rt_share own_share(const rt_evaluator *e, int64_t n)
{
  const rt_view row = rt_view_rows(board_of(e, n), e->spec.grid->i_tp, 1);
  return share_of(row.data, n);
}

/** Compute the logits of \a n hidden states into \a z, and the best token of
 *  each. */
static void launch_head(rt_dev *dev, const rt_head *head, rt_view hidden,
                        rt_view z, const rt_best *best)
{
  rt_head_logits(dev, head, hidden, z);
  RT_RUN(dev, argmax, .z = z, .id = best->id, .best = best->z, .v0 = head->v0,
         .v_true = head->vocab);
}

/** The best ids of the student, and of the teacher if there is one, for token
 *  \a i over all tiles, of \a n tokens each; ties go to the lower id, which is
 *  on the lower rank. */
static void find_best(const rt_evaluator *e, int64_t n, int64_t i,
                      int32_t id[2])
{
  const int n_models = e->teacher != NULL ? 2 : 1;
  double top[2] = {0.0};
  for (int r = 0; r < e->spec.grid->tp; r++) {
    const rt_share x = share_of(e->all + r * n * N_WORDS, n);
    const rt_best both[] = {x.s, x.t};
    for (int m = 0; m < n_models; m++) {
      const double z = ((const double *)both[m].z.data)[i];
      if (r > 0 && !(z > top[m]))
        continue;
      top[m] = z;
      id[m] = ((const int32_t *)both[m].id.data)[i];
    }
  }
}

/** KL(t || s) = sum_v p_t (z_t - z_s) - lse_t + lse_s. */
static double token_kl(const rt_shards *s, double lse_s)
{
  const rt_exp_sum t = rt_shards_exp_sum(s, K_STAT_T_MAX, K_STAT_T_SUM);
  const double dot = rt_shards_scaled(s, K_STAT_DOT, K_STAT_T_MAX, t.max);
  return dot / t.sum - rt_exp_sum_log(t) + lse_s;
}

/** \a id: the best of student and teacher. */
static void add_token(const rt_shards *s, int32_t label, const int32_t id[2],
                      bool with_teacher, rt_sums *sums)
{
  const rt_exp_sum x = rt_shards_exp_sum(s, K_STAT_MAX, K_STAT_SUM);
  const double lse = rt_exp_sum_log(x);
  const double confidence = 1.0 / x.sum; // exp(max - lse)
  const double correct = id[0] == label ? 1.0 : 0.0;
  const int bin = (int)fmin(N_BINS - 1, confidence * N_BINS);
  sums->tokens += 1.0;
  sums->ce += lse - rt_shards_sum(s, K_STAT_LABEL);
  sums->correct += correct;
  sums->bin_confidence[bin] += confidence;
  sums->bin_correct[bin] += correct;
  if (with_teacher) {
    sums->kl += token_kl(s, lse);
    sums->agree += id[0] == id[1] ? 1.0 : 0.0;
  }
}

static rt_err add_chunk(rt_evaluator *e, const int32_t *label, int64_t n,
                        rt_sums *sums)
{
  const rt_view board = board_of(e, n);
  RT_TRY(rt_comm_gather(e->spec.grid->comm_tp, e->spec.dev, board));
  RT_TRY(rt_dev_get(e->spec.dev, e->all, board));
  for (int64_t i = 0; i < n; i++) {
    const rt_shards s = {e->all + i * K_N_STAT, n * N_WORDS, e->spec.grid->tp};
    int32_t id[2] = {-1, -1};
    find_best(e, n, i, id);
    add_token(&s, label[i], id, e->teacher != NULL, sums);
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
  const rt_share own = own_share(e, n);
  RT_TRY(rt_dev_put(dev, label, e->batch->label + tok0));
  // find the best token first, because the statistics overwrite the logits
  launch_head(dev, &head, hidden_s, z_s, &own.s);
  if (e->show != NULL)
    RT_TRY(
        rt_agree(e->spec.grid->comm_tp,
                 e->show(e->shown_to, z_s, first * e->spec.rows.seq + tok0)));
  if (e->teacher != NULL) {
    const rt_head head_t = rt_hidden_teacher_head(e->teacher);
    const rt_view z_t = rt_view_rows(e->z_t, 0, n);
    launch_head(dev, &head_t, hidden_t, z_t, &own.t);
    RT_RUN(dev, dense_stats, .z_s = z_s, .z_t = z_t, .label = label,
           .stats = own.stats, .v0 = head.v0, .v_true = head.vocab, .tau = 1.0,
           .kl = true);
  } else {
    RT_RUN(dev, xent_stats, .z = z_s, .label = label, .stats = own.stats,
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
