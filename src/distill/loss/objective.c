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

#include <stdlib.h>

struct rt_objective {
  rt_objective_spec spec;
  rt_arena *arena;      // owned
  int64_t n_chunk;      // tokens per chunk
  rt_view tile, tile_t; // [n_chunk, V_pad / tp]; tile_t only when dense
  rt_view label;        // i32 [n_chunk, 1]
  rt_view stats;        // f64 [tp * n_chunk, K_N_STAT], shard by shard
  rt_view weight;       // f64 [n_chunk, 1]
  rt_view coef;         // f64 [n_chunk, K_N_COEF]
  rt_view loss;         // f64 [1, K_N_LOSS]: sums since rt_objective_clear
  double *h_weight;     // owned [n_chunk]
  rt_tile_fn *show;     // callback for tiles, or NULL
  void *shown_to;       // borrowed
};

/** Bytes in total per token of a chunk, on host and device. */
static double row_bytes(const rt_objective_spec *spec)
{
  const size_t tile = (size_t)rt_arena_tile_ld(spec->vocab_local) *
                      rt_dtype_size(spec->types.tile);
  const size_t numbers =
      K_N_STAT * (size_t)spec->grid->tp + K_N_COEF + 2; // 2: weights, twice
  return (double)(tile * (spec->dense ? 2 : 1) + sizeof(int32_t) +
                  numbers * sizeof(double));
}

static rt_err reserve_rows(rt_objective *o)
{
  const int64_t n = o->n_chunk;
  RT_TRY(rt_arena_reserve(o->arena, "row statistics", RT_F64,
                          n * o->spec.grid->tp, K_N_STAT, &o->stats));
  RT_TRY(rt_arena_reserve(o->arena, "weights", RT_F64, n, 1, &o->weight));
  RT_TRY(rt_arena_reserve(o->arena, "loss", RT_F64, 1, K_N_LOSS, &o->loss));
  RT_PLAN(o->spec.dev, loss_coef, .weight = o->weight);
  return rt_arena_reserve(o->arena, "row coefficients", RT_F64, n, K_N_COEF,
                          &o->coef);
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
  RT_TRY(rt_arena_reserve_tile(o->arena, "logit tile", type, n, v, &o->tile));
  if (spec->dense)
    RT_TRY(rt_arena_reserve_tile(o->arena, "teacher logit tile", type, n, v,
                                 &o->tile_t));
  RT_TRY(rt_arena_reserve(o->arena, "label", RT_I32, n, 1, &o->label));
  return reserve_rows(o);
}

const rt_arena *rt_objective_arena(const rt_objective *o)
{
  return o->arena;
}

size_t rt_objective_host_bytes(const rt_objective *o)
{
  return (size_t)o->n_chunk * sizeof *o->h_weight;
}

size_t rt_objective_bytes(const rt_objective *o)
{
  return rt_arena_bytes(o->arena) + rt_objective_host_bytes(o);
}

rt_err rt_objective_commit(rt_objective *o)
{
  o->h_weight = malloc(rt_objective_host_bytes(o));
  RT_CHECK(o->h_weight != NULL, RT_ERR_MEM, "weights of %lld tokens",
           (long long)o->n_chunk);
  return rt_arena_commit(o->arena, rt_dev_memory(o->spec.dev));
}

void rt_objective_destroy(rt_objective **out)
{
  rt_objective *o = *out;
  *out = NULL;
  if (o == NULL)
    return;
  rt_arena_destroy(&o->arena);
  free(o->h_weight);
  free(o);
}

void rt_objective_show(rt_objective *o, rt_tile_fn *fn, void *self)
{
  o->show = fn;
  o->shown_to = self;
}

/** A chunk of tokens and its weights. */
typedef struct chunk {
  int64_t tok0, n;
  const rt_batch *b;
  double alpha, weight_total;
  rt_targets targets;
} chunk;

/** Statistics of the chunk's tokens from all shards, and those of this one. */
static rt_view all_stats(const rt_objective *o, int64_t n)
{
  return rt_view_rows(o->stats, 0, n * o->spec.grid->tp);
}

static rt_view own_stats(const rt_objective *o, int64_t n)
{
  return rt_view_rows(o->stats, n * o->spec.grid->i_tp, n);
}

static rt_err send_weights(rt_objective *o, const chunk *c)
{
  for (int64_t i = 0; i < c->n; i++)
    o->h_weight[i] = (double)c->b->weight[c->tok0 + i] / c->weight_total;
  return rt_dev_put(o->spec.dev, rt_view_rows(o->weight, 0, c->n), o->h_weight);
}

/** The coefficients of the gradient, and the loss of the chunk. */
static rt_err weigh(rt_objective *o, const chunk *c)
{
  const rt_view stats = all_stats(o, c->n);
  RT_TRY(rt_comm_gather(o->spec.grid->comm_tp, o->spec.dev, stats));
  RT_TRY(send_weights(o, c));
  RT_RUN(o->spec.dev, loss_coef, .stats = stats,
         .weight = rt_view_rows(o->weight, 0, c->n),
         .entropy = o->spec.kld ? c->targets.entropy : (rt_view){0},
         .count = c->targets.count, .coef = rt_view_rows(o->coef, 0, c->n),
         .loss = o->loss, .alpha = c->alpha, .dense = c->targets.dense,
         .kl = o->spec.kld);
  return RT_OK;
}

static void launch_stats(rt_objective *o, const rt_head *head, const chunk *c,
                         rt_view tile, rt_view tile_t)
{
  const rt_view label = rt_view_rows(o->label, 0, c->n);
  const rt_view stats = own_stats(o, c->n);
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
  const rt_view stats = own_stats(o, c->n);
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
                        const rt_objective_in *in, chunk *c)
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
  RT_TRY(weigh(o, c));
  const rt_view dz = launch_grad(o, head, c, tile, tile_t);
  RT_RUN(dev, gemm, .a = dz, .b = head->w, .c = d_hidden, .alpha = 1.0);
  RT_RUN(dev, gemm, .a = dz, .b = hidden, .c = head->g, .trans_a = true,
         .alpha = 1.0, .beta = 1.0);
  return RT_OK;
}

void rt_objective_clear(rt_objective *o)
{
  RT_RUN(o->spec.dev, fill, .y = o->loss, .value = 0.0);
}

rt_view rt_objective_sums(const rt_objective *o)
{
  return o->loss;
}

rt_err rt_objective_loss(const rt_objective *o, k_loss *loss)
{
  return rt_dev_get(o->spec.dev, loss, o->loss);
}

rt_err rt_objective_run(rt_objective *o, rt_teacher *teacher,
                        const rt_objective_in *in)
{
  const int64_t n_tokens = in->b->n_rows * in->b->seq;
  for (int64_t tok0 = 0; tok0 < n_tokens; tok0 += o->n_chunk) {
    const int64_t left = n_tokens - tok0;
    chunk c = {.tok0 = tok0,
               .n = left < o->n_chunk ? left : o->n_chunk,
               .b = in->b,
               .alpha = teacher != NULL ? in->alpha : 0.0,
               .weight_total = in->weight_total};
    RT_TRY(run_chunk(o, teacher, in, &c));
    rt_comm_progress();
  }
  return RT_OK;
}
