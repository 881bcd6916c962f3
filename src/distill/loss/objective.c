/** \file objective.c
 *  The loss, fused with the output head.
 *
 *  For each token, with target t over the kept ids (or all), label y and
 *  normalised weight w:
 *    L     = w [(1 - alpha) (lse - z_y) + alpha (lse - sum t z [- H(t)])]
 *    dL/dz = a softmax(z) - c_label onehot(y) - c_kd t,
 *    a = c_label + c_kd, c_label = w (1 - alpha), c_kd = w alpha.
 *  A token without entries has c_kd = 0.  Subtracting the teacher's entropy
 *  H(t) turns the soft cross-entropy into KL; it does not affect the gradient.
 */
#include "distill/loss/objective.h"

#include "base/split.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

struct rt_objective {
  rt_objective_spec spec;
  rt_arena *arena;      // owned
  int64_t n_chunk;      // tokens per chunk
  rt_view tile, tile_t; // [n_chunk, V_pad / tp]; tile_t only when dense
  rt_view label;        // i32 [n_chunk, 1]
  rt_view stats;        // f64 [n_chunk, K_N_STAT]
  rt_view coef;         // f64 [n_chunk, K_N_COEF]
  double *h_stats;      // owned [tp][n_chunk, K_N_STAT]
  k_coef *h_coef;       // owned [n_chunk]
  rt_tile_fn *show;     // callback for tiles, or NULL
  void *shown_to;       // borrowed
};

/** Bytes of host arrays per token of a chunk. */
static size_t host_row_bytes(const rt_objective_spec *spec)
{
  return sizeof(double) * (K_N_STAT * (size_t)(spec->grid->tp + 1) + K_N_COEF);
}

/** Bytes in total per token of a chunk. */
static double row_bytes(const rt_objective_spec *spec)
{
  const size_t tile =
      (size_t)spec->vocab_local * rt_dtype_size(spec->types.tile);
  return (double)(tile * (spec->dense ? 2 : 1) + sizeof(int32_t) +
                  (K_N_STAT + K_N_COEF) * sizeof(double) +
                  host_row_bytes(spec));
}

rt_err rt_objective_create(const rt_objective_spec *spec, rt_objective **out)
{
  rt_objective *o = calloc(1, sizeof *o);
  *out = o;
  RT_CHECK(o != NULL, RT_ERR_MEM, "an objective");
  o->spec = *spec;
  const rt_dtype type = spec->types.tile;
  o->n_chunk =
      rt_chunk_rows(spec->max_tokens, spec->chunk_bytes / row_bytes(spec));
  const int64_t n = o->n_chunk, v = spec->vocab_local;
  const rt_view product = rt_view_of(NULL, spec->types.act, n, v);
  RT_PLAN(spec->dev, gemm, .a = product, .b = product, .c = product);
  RT_TRY(rt_arena_create("loss", &o->arena));
  RT_TRY(rt_arena_reserve(o->arena, "logit tile", type, n, v, &o->tile));
  if (spec->dense)
    RT_TRY(rt_arena_reserve(o->arena, "teacher logit tile", type, n, v,
                            &o->tile_t));
  RT_TRY(rt_arena_reserve(o->arena, "label", RT_I32, n, 1, &o->label));
  RT_TRY(rt_arena_reserve(o->arena, "row statistics", RT_F64, n, K_N_STAT,
                          &o->stats));
  return rt_arena_reserve(o->arena, "row coefficients", RT_F64, n, K_N_COEF,
                          &o->coef);
}

const rt_arena *rt_objective_arena(const rt_objective *o)
{
  return o->arena;
}

size_t rt_objective_host_bytes(const rt_objective *o)
{
  return (size_t)o->n_chunk * host_row_bytes(&o->spec);
}

size_t rt_objective_bytes(const rt_objective *o)
{
  return rt_arena_bytes(o->arena) + rt_objective_host_bytes(o);
}

rt_err rt_objective_commit(rt_objective *o)
{
  const size_t n = (size_t)o->n_chunk;
  o->h_stats =
      malloc(n * K_N_STAT * sizeof(double) * (size_t)(o->spec.grid->tp + 1));
  o->h_coef = malloc(n * sizeof *o->h_coef);
  RT_CHECK(o->h_stats && o->h_coef, RT_ERR_MEM, "statistics of %zu tokens", n);
  return rt_arena_commit(o->arena, rt_dev_memory(o->spec.dev));
}

void rt_objective_destroy(rt_objective **out)
{
  rt_objective *o = *out;
  *out = NULL;
  if (o == NULL)
    return;
  rt_arena_destroy(&o->arena);
  free(o->h_stats);
  free(o->h_coef);
  free(o);
}

void rt_objective_show(rt_objective *o, rt_tile_fn *fn, void *self)
{
  o->show = fn;
  o->shown_to = self;
}

/** Statistics of one token over the whole vocabulary. */
typedef struct row_stats {
  double lse;        // of the student
  double label, dot; // z_y; sum t z
  double t_lse;      // dense teacher, at temperature tau
  double cross;      // dense: sum_v p_t (z_t / tau - z_s), nll: - p_t z_s
} row_stats;

/** Combine the token's statistics from all vocabulary shards. */
static row_stats combine(const rt_objective *o, int64_t n, int64_t i)
{
  const rt_shards s = {o->h_stats + i * K_N_STAT, n * K_N_STAT,
                       o->spec.grid->tp};
  row_stats r = {
      .lse = rt_exp_sum_log(rt_shards_exp_sum(&s, K_STAT_MAX, K_STAT_SUM)),
      .label = rt_shards_sum(&s, K_STAT_LABEL)};
  if (!o->spec.dense) {
    r.dot = rt_shards_sum(&s, K_STAT_DOT);
    return r;
  }
  const rt_exp_sum t = rt_shards_exp_sum(&s, K_STAT_T_MAX, K_STAT_T_SUM);
  r.t_lse = rt_exp_sum_log(t);
  r.cross = rt_shards_scaled(&s, K_STAT_DOT, K_STAT_T_MAX, t.max) / t.sum;
  return r;
}

/** Gather the chunk's statistics from all vocabulary shards into h_stats. */
static rt_err gather_stats(rt_objective *o, int64_t n)
{
  const size_t bytes = (size_t)n * K_N_STAT * sizeof(double);
  const int tp = o->spec.grid->tp;
  double *mine = o->h_stats + (tp > 1 ? (int64_t)tp * n * K_N_STAT : 0);
  RT_TRY(rt_dev_get(o->spec.dev, mine, rt_view_rows(o->stats, 0, n)));
  if (tp == 1)
    return RT_OK;
  return rt_comm_allgather(o->spec.grid->comm_tp, mine, bytes, o->h_stats);
}

/** A chunk of tokens and its weights. */
typedef struct chunk {
  int64_t tok0, n;
  const rt_batch *b;
  double alpha, weight_total;
  rt_targets targets;
} chunk;

/** The unweighted distillation loss of token i. */
static double kd_of(const rt_objective *o, const chunk *c, int64_t i,
                    const row_stats *r)
{
  if (c->targets.dense) // KL = sum p_t (z_t/tau - lse_t - z_s + lse_s)
    return r->cross + r->lse - (o->spec.kld ? r->t_lse : 0.0);
  const double soft = r->lse - r->dot;
  return o->spec.kld ? soft - c->targets.entropy[i] : soft;
}

/** Compute the gradient coefficients of every token, and the loss of the chunk.
 */
static void weigh(rt_objective *o, const chunk *c, rt_loss *loss)
{
  for (int64_t i = 0; i < c->n; i++) {
    const row_stats r = combine(o, c->n, i);
    const double w = (double)c->b->weight[c->tok0 + i] / c->weight_total;
    const bool has_kd = c->targets.dense || (c->targets.h_count != NULL &&
                                             c->targets.h_count[i] > 0);
    const double c_kd = has_kd ? w * c->alpha : 0.0;
    const double c_label = w * (1.0 - c->alpha);
    o->h_coef[i] = (k_coef){.lse = r.lse,
                            .a = c_label + c_kd,
                            .c_label = c_label,
                            .c_kd = c_kd,
                            .t_lse = r.t_lse};
    loss->lm += w * (r.lse - r.label);
    if (c->targets.h_count != NULL)
      loss->entries += w * c->targets.h_count[i];
    if (has_kd)
      loss->kd += w * kd_of(o, c, i, &r);
  }
}

static void launch_stats(rt_objective *o, const rt_head *head, const chunk *c,
                         rt_view tile, rt_view tile_t)
{
  const rt_view label = rt_view_rows(o->label, 0, c->n);
  const rt_view stats = rt_view_rows(o->stats, 0, c->n);
  if (c->targets.dense)
    RT_RUN(o->spec.dev, dense_stats, .z_s = tile, .z_t = tile_t, .label = label,
           .stats = stats, .v0 = head->v0, .v_true = head->vocab,
           .tau = o->spec.tau, .kl = o->spec.kld);
  else
    RT_RUN(o->spec.dev, xent_stats, .z = tile, .label = label,
           .count = c->targets.count, .ids = c->targets.ids, .t = c->targets.t,
           .stats = stats, .v0 = head->v0, .v_true = head->vocab);
}

/** The view of dz in the memory of a tile: each row begins where that of the
 *  logits does. */
static rt_view gradient_of(const rt_objective *o, rt_view tile)
{
  const size_t size = rt_dtype_size(tile.dtype);
  tile.dtype = o->spec.types.dtile;
  tile.ld = tile.ld * (int64_t)(size / rt_dtype_size(tile.dtype));
  return tile;
}

/** \return dz, which takes the memory of \a tile */
static rt_view launch_grad(rt_objective *o, const rt_head *head, const chunk *c,
                           rt_view tile, rt_view tile_t)
{
  const rt_view label = rt_view_rows(o->label, 0, c->n);
  const rt_view stats = rt_view_rows(o->stats, 0, c->n);
  const rt_view coef = rt_view_rows(o->coef, 0, c->n);
  const rt_view dz = gradient_of(o, tile);
  if (c->targets.dense)
    RT_RUN(o->spec.dev, dense_grad, .z_s = tile, .z_t = tile_t, .label = label,
           .stats = stats, .coef = coef, .dz = dz, .v0 = head->v0);
  else
    RT_RUN(o->spec.dev, xent_grad, .z = tile, .label = label,
           .count = c->targets.count, .ids = c->targets.ids, .t = c->targets.t,
           .stats = stats, .coef = coef, .dz = dz, .v0 = head->v0);
  return dz;
}

/** Compute logits, loss and both gradients of one chunk of tokens. */
static rt_err run_chunk(rt_objective *o, rt_teacher *teacher,
                        const rt_objective_in *in, chunk *c, rt_loss *loss)
{
  rt_dev *dev = o->spec.dev;
  const rt_head *const head = in->head;
  const rt_view hidden = rt_view_rows(in->hidden, c->tok0, c->n);
  const rt_view d_hidden = rt_view_rows(in->d_hidden, c->tok0, c->n);
  const rt_view tile = rt_view_rows(o->tile, 0, c->n);
  const rt_view tile_t =
      o->spec.dense ? rt_view_rows(o->tile_t, 0, c->n) : (rt_view){0};
  rt_head_logits(dev, head, hidden, tile);
  if (o->show != NULL)
    RT_TRY(o->show(o->shown_to, tile, c->b, c->tok0));
  if (teacher != NULL)
    RT_TRY(rt_teacher_chunk(teacher, c->tok0, c->n, tile_t, &c->targets));
  RT_TRY(
      rt_dev_put(dev, rt_view_rows(o->label, 0, c->n), c->b->label + c->tok0));
  launch_stats(o, head, c, tile, tile_t);
  RT_TRY(gather_stats(o, c->n));
  weigh(o, c, loss);
  RT_TRY(rt_dev_put(dev, rt_view_rows(o->coef, 0, c->n), o->h_coef));
  const rt_view dz = launch_grad(o, head, c, tile, tile_t);
  RT_RUN(dev, gemm, .a = dz, .b = head->w, .c = d_hidden, .alpha = 1.0);
  RT_RUN(dev, gemm, .a = dz, .b = hidden, .c = head->g, .trans_a = true,
         .alpha = 1.0, .beta = 1.0);
  return RT_OK;
}

rt_err rt_objective_run(rt_objective *o, rt_teacher *teacher,
                        const rt_objective_in *in, rt_loss *loss)
{
  const int64_t n_tokens = in->b->n_rows * in->b->seq;
  for (int64_t tok0 = 0; tok0 < n_tokens; tok0 += o->n_chunk) {
    const int64_t left = n_tokens - tok0;
    chunk c = {.tok0 = tok0,
               .n = left < o->n_chunk ? left : o->n_chunk,
               .b = in->b,
               .alpha = teacher != NULL ? in->alpha : 0.0,
               .weight_total = in->weight_total};
    RT_TRY(run_chunk(o, teacher, in, &c, loss));
    rt_comm_progress();
  }
  return RT_OK;
}
