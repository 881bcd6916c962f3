/** \file adamw.c
 *  AdamW with optimizer states sharded over dp. */
#include "optim/adamw.h"

#include "optim/buckets.h"
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
  rt_buckets gathers;
};

static rt_err arrive(void *opt, int bucket)
{
  return rt_buckets_finish(&((rt_adamw *)opt)->gathers, bucket);
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
  RT_CHECK(o->shard && o->h_sums && o->rank_sums, RT_ERR_MEM,
           "an optimizer of %zu tensors", n);
  RT_TRY(rt_buckets_init(&o->gathers, params, dev, RT_BUCKET_WEIGHTS));
  params->arrive = arrive;
  params->arrive_self = o;
  RT_TRY(rt_arena_create("optimizer", &o->arena));
  for (int i = 0; i < params->n; i++) {
    rt_adamw_shard *s = &o->shard[i];
    const rt_param *t = &params->item[i];
    s->row0 = t->shard_row0;
    s->n = t->shard_n;
    RT_TRY(rt_arena_reserve(o->arena, "first moment", params->types.moment,
                            s->n, t->w.cols, &s->m));
    RT_TRY(rt_arena_reserve(o->arena, "second moment", params->types.moment,
                            s->n, t->w.cols, &s->v));
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
  if (o->params->arrive_self == o)
    o->params->arrive = NULL;
  rt_buckets_clear(&o->gathers);
  rt_arena_destroy(&o->arena);
  free(o->shard);
  free(o->h_sums);
  free(o->rank_sums);
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

/** Update this rank's rows of one tensor. */
static void update_tensor(rt_adamw *opt, int i)
{
  const rt_adamw_shard *s = &opt->shard[i];
  const rt_param *q = &opt->params->item[i];
  const bool decays = q->decay || opt->spec.decay_all;
  const bool apart = q->master.cols > 0;
  if (s->n > 0)
    RT_RUN(opt->dev, adamw, .p = rt_param_master(q), .m = s->m, .v = s->v,
           .g = rt_view_rows(q->g, s->row0, s->n), .step = opt->step,
           .w = apart ? rt_view_rows(q->w, s->row0, s->n) : (rt_view){0},
           .beta1 = opt->spec.beta1, .beta2 = opt->spec.beta2,
           .eps = opt->spec.eps,
           .weight_decay = decays ? opt->spec.weight_decay : 0.0);
}

rt_err rt_adamw_update(rt_adamw *opt, int64_t t, double lr, double grad_scale)
{
  const rt_params *p = opt->params;
  const k_adamw_step step = {.lr = lr,
                             .grad_scale = grad_scale,
                             .bias1 = 1.0 - pow(opt->spec.beta1, (double)t),
                             .bias2 = 1.0 - pow(opt->spec.beta2, (double)t)};
  RT_TRY(rt_params_arrive_all(p)); // those of the update before
  RT_TRY(rt_dev_put(opt->dev, opt->step, &step));
  // in the order in which the next forward needs them
  for (int i = 0, b = 0; b < p->n_buckets; b++) {
    for (; i < p->n && p->item[i].bucket == b; i++)
      update_tensor(opt, i);
    RT_TRY(rt_buckets_start(&opt->gathers, b));
    rt_comm_progress();
  }
  return RT_OK;
}

rt_err rt_adamw_publish(rt_adamw *opt)
{
  const rt_params *p = opt->params;
  RT_TRY(rt_params_arrive_all(p));
  for (int i = 0; i < p->n; i++) {
    const rt_param *const t = &p->item[i];
    if (t->master.rows > 0)
      RT_RUN(opt->dev, copy, .x = t->master,
             .y = rt_view_rows(t->w, t->shard_row0, t->shard_n));
  }
  for (int b = 0; b < p->n_buckets; b++)
    RT_TRY(rt_buckets_start(&opt->gathers, b));
  return rt_params_arrive_all(p);
}
