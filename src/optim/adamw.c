/** \file adamw.c
 *  AdamW with optimizer states sharded over dp. */
#include "optim/adamw.h"

#include "optim/buckets.h"
#include <stdlib.h>

/** Elements of a segment at most: what threads and partial sums take at once.
 *  The norm's bits depend on it. */
enum { SEGMENT = 1 << 16 };
/** Launches of an update where weights are exchanged: those of the first are on
 *  their way while the next runs. */
enum { MOST_GROUPS = 4 };

/** Consecutive buckets that one launch updates. */
typedef struct group {
  int first, end;      // buckets
  int64_t segment0, n; // segments
} group;

struct rt_adamw {
  rt_params *params; // borrowed
  rt_dev *dev;       // borrowed
  rt_adamw_spec spec;
  rt_arena *arena;       // owned
  rt_adamw_shard *shard; // owned [params->n]
  rt_view segments;      // f64 [n, K_N_SEGMENT], bucket by bucket
  rt_view squares;       // f64 [n_ranks, 1]: sums of what each rank counts
  rt_view step;          // f64 [1, 5]: a k_adamw_step
  group group[MOST_GROUPS];
  int n_groups;
  rt_buckets gathers;
};

static rt_err arrive(void *opt, int bucket)
{
  return rt_buckets_join(&((rt_adamw *)opt)->gathers, bucket);
}

static int64_t n_segments_of(const rt_adamw *opt, int i)
{
  const int64_t n = opt->shard[i].n * opt->params->item[i].n_cols;
  return (n + SEGMENT - 1) / SEGMENT;
}

/** Divide the buckets into groups of about the same number of segments.
 *  \return the number of segments */
static int64_t make_groups(rt_adamw *o)
{
  const rt_params *p = o->params;
  const int most = p->grid->dp > 1 ? MOST_GROUPS : 1;
  int64_t n = 0, at = 0;
  for (int i = 0; i < p->n; i++)
    n += n_segments_of(o, i);
  for (int i = 0, b = 0; b < p->n_buckets; b++) {
    // the group before goes on until it has its share
    const bool next = o->n_groups == 0 || at * most >= n * o->n_groups;
    if (next && o->n_groups < most)
      o->group[o->n_groups++] = (group){.first = b, .segment0 = at};
    for (; i < p->n && p->item[i].bucket == b; i++)
      at += n_segments_of(o, i);
    group *const g = &o->group[o->n_groups - 1];
    g->end = b + 1;
    g->n = at - g->segment0;
  }
  return n;
}

static rt_err reserve_states(rt_adamw *o)
{
  const rt_params *p = o->params;
  const rt_dtype type = p->types.moment;
  for (int i = 0; i < p->n; i++) {
    const rt_param *t = &p->item[i];
    o->shard[i] = (rt_adamw_shard){.row0 = t->shard_row0, .n = t->shard_n};
    RT_TRY(rt_arena_reserve(o->arena, "first moment", type, t->shard_n,
                            t->n_cols, &o->shard[i].m));
  }
  for (int i = 0; i < p->n; i++)
    RT_TRY(rt_arena_reserve(o->arena, "second moment", type, o->shard[i].n,
                            p->item[i].n_cols, &o->shard[i].v));
  return RT_OK;
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
  RT_CHECK(params->bucket_grad != NULL, RT_ERR_INTERNAL,
           "%s has no gradient to optimize", params->item[0].name);
  o->shard = calloc(n, sizeof *o->shard);
  RT_CHECK(o->shard != NULL, RT_ERR_MEM, "an optimizer of %zu tensors", n);
  RT_TRY(rt_buckets_init(&o->gathers, params, dev, RT_BUCKET_WEIGHTS));
  params->arrive = arrive;
  params->arrive_self = o;
  RT_TRY(rt_arena_create("optimizer", &o->arena));
  RT_TRY(reserve_states(o));
  RT_TRY(rt_arena_reserve(o->arena, "segments", RT_F64, make_groups(o),
                          K_N_SEGMENT, &o->segments));
  RT_PLAN(dev, sumsq, .segments = o->segments);
  RT_TRY(rt_arena_reserve(o->arena, "sums of all ranks", RT_F64,
                          params->grid->n_ranks, 1, &o->squares));
  return rt_arena_reserve(o->arena, "step", RT_F64, 1, 5, &o->step);
}

const rt_arena *rt_adamw_arena(const rt_adamw *opt)
{
  return opt->arena;
}

/** One flat view of the memory from \a first to \a last, of one arena. */
static rt_view flat(rt_view first, rt_view last)
{
  const int64_t size = (int64_t)rt_dtype_size(first.dtype);
  const int64_t at = ((char *)last.data - (char *)first.data) / size;
  return rt_view_of(first.data, first.dtype, 1,
                    at + (int64_t)rt_view_size(&last));
}

/** The element of a flat view at which \a v begins. */
static double begin_of(rt_view flat, rt_view v)
{
  const int64_t bytes = (char *)v.data - (char *)flat.data;
  const int64_t at = bytes / (int64_t)rt_dtype_size(v.dtype);
  return (double)at;
}

/** The numbers of all tensors, each kind in one view. */
typedef struct flats {
  rt_view p, m, v, g, w;
} flats;

static flats flats_of(const rt_adamw *opt)
{
  const rt_params *p = opt->params;
  const rt_param *a = &p->item[0], *z = &p->item[p->n - 1];
  const rt_adamw_shard *sa = &opt->shard[0], *sz = &opt->shard[p->n - 1];
  flats f = {.m = flat(sa->m, sz->m),
             .v = flat(sa->v, sz->v),
             .g = rt_params_grads(p),
             .w = flat(a->w, z->w)};
  f.p = a->master.cols > 0 ? flat(a->master, z->master) : f.w;
  return f;
}

/** Write the segments of this rank's rows of tensor \a i to \a to. */
static void put_segments(const rt_adamw *opt, const flats *f, int i,
                         k_segment *to)
{
  const rt_param *t = &opt->params->item[i];
  const rt_adamw_shard *s = &opt->shard[i];
  const bool decays = t->decay || opt->spec.decay_all;
  const k_segment whole = {
      .p = begin_of(f->p, rt_param_master(t)),
      .m = begin_of(f->m, s->m),
      .g = begin_of(f->g, rt_view_rows(t->g, s->row0, s->n)),
      .w = begin_of(f->w, rt_view_rows(t->w, s->row0, s->n)),
      .weight_decay = decays ? opt->spec.weight_decay : 0.0,
      .sum = t->owner ? i : -1}; // replicas of a tile count once
  const int64_t n = s->n * t->n_cols;
  for (int64_t at = 0; at < n; at += SEGMENT, to++) {
    const double skip = (double)at;
    *to = whole;
    to->p += skip;
    to->m += skip;
    to->g += skip;
    to->w += skip;
    to->n = (double)(n - at < SEGMENT ? n - at : SEGMENT);
  }
}

static rt_err send_segments(rt_adamw *opt)
{
  const rt_params *p = opt->params;
  const flats f = flats_of(opt);
  k_segment *const all = calloc((size_t)opt->segments.rows + 1, sizeof *all);
  RT_CHECK(all != NULL, RT_ERR_MEM, "%lld segments of an optimizer",
           (long long)opt->segments.rows);
  k_segment *to = all;
  for (int i = 0; i < p->n; to += n_segments_of(opt, i), i++)
    put_segments(opt, &f, i, to);
  const rt_err err = rt_dev_put(opt->dev, opt->segments, all);
  free(all);
  return err;
}

rt_err rt_adamw_commit(rt_adamw *opt)
{
  const rt_params *p = opt->params;
  RT_CHECK(p->item[0].g.data != NULL, RT_ERR_INTERNAL,
           "an optimizer before its parameters have memory");
  RT_TRY(rt_arena_commit(opt->arena, rt_dev_memory(opt->dev)));
  const flats f = flats_of(opt);
  RT_RUN(opt->dev, fill, .y = f.m, .value = 0.0);
  RT_RUN(opt->dev, fill, .y = f.v, .value = 0.0);
  RT_TRY(send_segments(opt));
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
  free(o);
}

rt_adamw_shard *rt_adamw_shard_of(rt_adamw *opt, int i)
{
  return &opt->shard[i];
}

rt_err rt_adamw_squares(rt_adamw *opt, rt_view *out)
{
  const rt_grid *grid = opt->params->grid;
  *out = opt->squares;
  RT_RUN(opt->dev, sumsq, .x = flats_of(opt).g, .segments = opt->segments,
         .out = rt_view_rows(opt->squares, rt_comm_rank(grid->world), 1));
  return rt_comm_gather(grid->world, opt->dev, opt->squares);
}

rt_view rt_adamw_step(const rt_adamw *opt)
{
  return opt->step;
}

const rt_adamw_spec *rt_adamw_spec_of(const rt_adamw *opt)
{
  return &opt->spec;
}

/** Update this rank's rows of a group of buckets. */
static void update_group(rt_adamw *opt, const group *g)
{
  const flats f = flats_of(opt);
  const bool apart = f.p.data != f.w.data;
  if (g->n > 0)
    RT_RUN(opt->dev, adamw, .p = f.p, .m = f.m, .v = f.v, .g = f.g,
           .segments = rt_view_rows(opt->segments, g->segment0, g->n),
           .step = opt->step, .w = apart ? f.w : (rt_view){0},
           .beta1 = opt->spec.beta1, .beta2 = opt->spec.beta2,
           .eps = opt->spec.eps);
}

rt_err rt_adamw_update(rt_adamw *opt)
{
  RT_TRY(rt_params_arrive_all(opt->params)); // those of the update before
  // in the order in which the next forward needs them
  for (const group *g = opt->group; g < opt->group + opt->n_groups; g++) {
    update_group(opt, g);
    for (int b = g->first; b < g->end; b++)
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
