/** \file adamw.c
 *  AdamW with optimizer states sharded over dp. */
#include "optim/adamw.h"

#include "base/split.h"
#include <math.h>
#include <stdlib.h>

struct rt_adamw {
  rt_params *params; // borrowed
  rt_dev *dev;       // borrowed
  rt_adamw_spec spec;
  rt_arena *arena;       // owned
  rt_adamw_shard *shard; // owned [params->n]
  rt_view sums;          // f64 [params->n, 1]
  rt_view step;          // f64 [1, 5]: a k_adamw_step
  double *h_sums;        // owned [params->n]
  double *rank_sums;     // owned [n_ranks]
  size_t *bytes_of; // owned [dp]: bytes that each rank contributes to a tensor
};

/** The rows of the local tile that dp rank \a i_dp updates. */
static void place_shard(const rt_params *p, int i, int i_dp, int64_t *row0,
                        int64_t *n)
{
  const int dp = p->grid->dp;
  const rt_param *t = &p->item[i];
  if (t->vector) { // too small to divide: assigned whole to one rank
    *row0 = 0;
    *n = i % dp == i_dp ? 1 : 0;
    return;
  }
  *row0 = rt_split_begin(t->w.rows, dp, i_dp);
  *n = rt_split_count(t->w.rows, dp, i_dp);
}

rt_err rt_adamw_create(rt_params *params, rt_dev *dev,
                       const rt_adamw_spec *spec, rt_adamw **out)
{
  rt_adamw *o = calloc(1, sizeof *o);
  *out = o;
  RT_CHECK(o != NULL, RT_ERR_MEM, "an optimizer");
  o->params = params;
  o->dev = dev;
  o->spec = *spec;
  const size_t n = (size_t)params->n;
  for (int i = 0; i < params->n; i++)
    RT_CHECK(params->item[i].g.data != NULL || params->bucket_grad != NULL,
             RT_ERR_INTERNAL, "%s has no gradient to optimize",
             params->item[i].name);
  o->shard = calloc(n, sizeof *o->shard);
  o->h_sums = calloc(n, sizeof *o->h_sums);
  o->rank_sums = calloc((size_t)params->grid->n_ranks, sizeof *o->rank_sums);
  o->bytes_of = calloc((size_t)params->grid->dp, sizeof *o->bytes_of);
  RT_CHECK(o->shard && o->h_sums && o->rank_sums && o->bytes_of, RT_ERR_MEM,
           "an optimizer of %zu tensors", n);
  RT_TRY(rt_arena_create("optimizer", &o->arena));
  for (int i = 0; i < params->n; i++) {
    rt_adamw_shard *s = &o->shard[i];
    const rt_param *t = &params->item[i];
    place_shard(params, i, params->grid->i_dp, &s->row0, &s->n);
    RT_TRY(rt_arena_reserve(o->arena, "first moment", t->w.dtype, s->n,
                            t->w.cols, &s->m));
    RT_TRY(rt_arena_reserve(o->arena, "second moment", t->w.dtype, s->n,
                            t->w.cols, &s->v));
    RT_PLAN(dev, sumsq, .x = rt_view_of(NULL, t->g.dtype, s->n, t->g.cols));
  }
  RT_TRY(rt_arena_reserve(o->arena, "sums", RT_F64, params->n, 1, &o->sums));
  return rt_arena_reserve(o->arena, "step", RT_F64, 1, 5, &o->step);
}

const rt_arena *rt_adamw_arena(const rt_adamw *opt)
{
  return opt->arena;
}

rt_err rt_adamw_commit(rt_adamw *opt)
{
  RT_TRY(rt_arena_commit(opt->arena, rt_dev_memory(opt->dev)));
  for (int i = 0; i < opt->params->n; i++) {
    if (opt->shard[i].n == 0)
      continue;
    RT_RUN(opt->dev, fill, .y = opt->shard[i].m, .value = 0.0);
    RT_RUN(opt->dev, fill, .y = opt->shard[i].v, .value = 0.0);
  }
  return rt_dev_sync(opt->dev);
}

void rt_adamw_destroy(rt_adamw **out)
{
  rt_adamw *o = *out;
  *out = NULL;
  if (o == NULL)
    return;
  rt_arena_destroy(&o->arena);
  free(o->shard);
  free(o->h_sums);
  free(o->rank_sums);
  free(o->bytes_of);
  free(o);
}

rt_adamw_shard *rt_adamw_shard_of(rt_adamw *opt, int i)
{
  return &opt->shard[i];
}

/** Does this rank count its shard of tensor i in global sums?  (Replicas of a
 *  tile count once.) */
static bool counts_shard(const rt_adamw *opt, int i)
{
  return opt->shard[i].n > 0 && opt->params->item[i].owner;
}

/** Sum of squares of the gradients that this rank counts. */
static rt_err my_sum(rt_adamw *opt, double *sum)
{
  const rt_params *p = opt->params;
  for (int i = 0; i < p->n; i++) {
    const rt_adamw_shard *s = &opt->shard[i];
    if (counts_shard(opt, i))
      RT_RUN(opt->dev, sumsq, .x = rt_view_rows(p->item[i].g, s->row0, s->n),
             .out = rt_view_rows(opt->sums, i, 1));
  }
  RT_TRY(rt_dev_get(opt->dev, opt->h_sums, opt->sums));
  *sum = 0.0;
  for (int i = 0; i < p->n; i++)
    *sum += counts_shard(opt, i) ? opt->h_sums[i] : 0.0;
  return RT_OK;
}

rt_err rt_adamw_grad_norm(rt_adamw *opt, double *norm)
{
  const rt_grid *grid = opt->params->grid;
  double sum;
  RT_TRY(my_sum(opt, &sum));
  // gathered and summed in rank order: the same bits on every rank
  RT_TRY(rt_comm_allgather(grid->world, &sum, sizeof sum, opt->rank_sums));
  double all = 0.0;
  for (int r = 0; r < grid->n_ranks; r++)
    all += opt->rank_sums[r];
  *norm = sqrt(all);
  return RT_OK;
}

/** All-gather of a tensor's updated rows over dp. */
static rt_err gather_tensor(rt_adamw *opt, int i)
{
  const rt_params *p = opt->params;
  const rt_view w = p->item[i].w;
  int64_t row0, n;
  for (int r = 0; r < p->grid->dp; r++) {
    place_shard(p, i, r, &row0, &n);
    opt->bytes_of[r] = (size_t)(n * w.cols) * rt_dtype_size(w.dtype);
  }
  const rt_adamw_shard *s = &opt->shard[i];
  const rt_view mine = rt_view_rows(w, s->row0, s->n);
  return rt_comm_allgatherv(p->grid->comm_dp, mine.data, opt->bytes_of, w.data);
}

rt_err rt_adamw_update(rt_adamw *opt, int64_t t, double lr, double grad_scale)
{
  const rt_params *p = opt->params;
  const k_adamw_step step = {.lr = lr,
                             .grad_scale = grad_scale,
                             .bias1 = 1.0 - pow(opt->spec.beta1, (double)t),
                             .bias2 = 1.0 - pow(opt->spec.beta2, (double)t)};
  RT_TRY(rt_dev_put(opt->dev, opt->step, &step));
  for (int i = 0; i < p->n; i++) {
    const rt_adamw_shard *s = &opt->shard[i];
    const rt_param *q = &p->item[i];
    if (s->n == 0)
      continue;
    RT_RUN(opt->dev, adamw, .p = rt_view_rows(q->w, s->row0, s->n), .m = s->m,
           .v = s->v, .g = rt_view_rows(q->g, s->row0, s->n), .step = opt->step,
           .beta1 = opt->spec.beta1, .beta2 = opt->spec.beta2,
           .eps = opt->spec.eps,
           .weight_decay =
               q->decay || opt->spec.decay_all ? opt->spec.weight_decay : 0.0);
  }
  RT_TRY(rt_dev_sync(opt->dev));
  for (int i = 0; p->grid->dp > 1 && i < p->n; i++)
    RT_TRY(gather_tensor(opt, i));
  return RT_OK;
}
