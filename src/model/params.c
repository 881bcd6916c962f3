/** \file params.c
 *  The tiles of a model's tensors on this rank. */
#include "model/params.h"

#include "base/rng.h"
#include "base/split.h"
#include "model/tensors.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/** Set this rank's tile of a tensor that belongs to \a n_kv key/value heads. */
static void place_tile(rt_param *p, const rt_grid *grid, int64_t n_kv)
{
  int64_t parts = 1;
  if (p->split == RT_SPLIT_ROWS || p->split == RT_SPLIT_COLS)
    parts = grid->tp;
  else if (p->split == RT_SPLIT_KV)
    parts = grid->tp < n_kv ? grid->tp : n_kv;
  p->n_replicas = (int)(grid->tp / parts);
  p->owner = grid->i_tp % p->n_replicas == 0;

  const bool by_rows = p->split != RT_SPLIT_COLS && !p->vector;
  const int64_t n = by_rows ? p->rows : p->cols;
  const int64_t each = rt_round_up(n, parts) / parts;
  const int64_t begin = each * (grid->i_tp / p->n_replicas);
  // with a small vocabulary the last ranks may have only padding
  const int64_t i0 = begin < n ? begin : n;
  const int64_t count = n - i0 < each ? n - i0 : each;
  p->row0 = by_rows ? i0 : 0;
  p->n_rows = by_rows ? count : p->rows;
  p->col0 = by_rows ? 0 : i0;
  p->n_cols = by_rows ? p->cols : count;
  p->pad_rows = by_rows ? each - count : 0;
  RT_ASSERT(by_rows || count == each);
}

static rt_param param_of(const rt_tensor *t, int kind, int block, int n_blocks)
{
  rt_param p = {.kind = kind,
                .rows = t->rows,
                .cols = t->cols,
                .vector = t->vector,
                .split = t->split,
                .decay = t->decay,
                .init = t->init,
                .init_std = t->init_std,
                .bucket = t->place == RT_AT_START   ? 0
                          : t->place == RT_AT_BLOCK ? 1 + block
                                                    : 1 + n_blocks};
  const char *number = strstr(t->name, "%d");
  if (number == NULL)
    snprintf(p.name, sizeof p.name, "%s", t->name);
  else
    snprintf(p.name, sizeof p.name, "%.*s%d%s", (int)(number - t->name),
             t->name, block, number + 2);
  return p;
}

/** Fill p->item with all tensors: those before the blocks, the blocks, those
 *  after. */
static rt_err list_items(rt_params *p, const rt_arch *arch)
{
  rt_tensor t[RT_N_TENSORS];
  rt_tensors_of(arch, t);
  const int n_blocks = (int)arch->n_blocks;
  const size_t max = (size_t)(n_blocks + 2) * RT_N_TENSORS;
  p->item = calloc(max, sizeof *p->item);
  p->n_buckets = n_blocks + 2;
  RT_CHECK(p->item, RT_ERR_MEM, "no memory for a list of %zu tensors", max);
  for (int bucket = 0; bucket < p->n_buckets; bucket++) {
    const rt_place place = bucket == 0          ? RT_AT_START
                           : bucket <= n_blocks ? RT_AT_BLOCK
                                                : RT_AT_END;
    for (int k = 0; k < RT_N_TENSORS; k++) {
      if (!t[k].present || t[k].place != place)
        continue;
      p->item[p->n] = param_of(&t[k], k, bucket - 1, n_blocks);
      place_tile(&p->item[p->n], p->grid, arch->n_kv_heads);
      p->n++;
    }
  }
  return RT_OK;
}

/** Tiles of which memory: weights or gradients. */
typedef rt_view *tile_of(rt_param *t);

static rt_view *weight_of(rt_param *t)
{
  return &t->w;
}

static rt_view *gradient_of(rt_param *t)
{
  return &t->g;
}

/** The tensor that lies directly behind number \a i; -1: none. */
static int behind(const rt_params *p, int i)
{
  const rt_param *t = &p->item[i];
  for (int k = i + 1; k < p->n && p->item[k].bucket == t->bucket; k++)
    if ((int)rt_tensor_before((rt_tensor_id)p->item[k].kind) == t->kind)
      return k;
  return -1;
}

/** Reserve the tiles of tensors [first, end). */
static rt_err reserve_tiles(rt_params *p, int first, int end, rt_arena *arena,
                            rt_dtype type, tile_of *tile)
{
  for (int i = first; i < end; i++) {
    const rt_param *t = &p->item[i];
    if ((int)rt_tensor_before((rt_tensor_id)t->kind) != t->kind)
      continue; // reserved with the one before
    RT_TRY(rt_arena_reserve(arena, t->name, type, t->n_rows + t->pad_rows,
                            t->n_cols, tile(&p->item[i])));
    for (int k = behind(p, i); k >= 0; k = behind(p, k)) {
      t = &p->item[k];
      RT_TRY(rt_arena_append(arena, t->name, type, t->n_rows + t->pad_rows,
                             t->n_cols, tile(&p->item[k])));
    }
  }
  return RT_OK;
}

static rt_err reserve_weights(rt_params *p, rt_arena *arena)
{
  return reserve_tiles(p, 0, p->n, arena, p->types.weight, weight_of);
}

rt_view rt_param_master(const rt_param *p)
{
  return p->master.cols > 0 ? p->master
                            : rt_view_rows(p->w, p->shard_row0, p->shard_n);
}

/** Copy rows from the host to a view of the device, converted. */
static rt_err put_rows(rt_dev *dev, rt_view to, rt_view rows)
{
  if (rows.dtype == to.dtype)
    return rt_dev_put(dev, to, rows.data);
  void *const converted = malloc(rt_view_bytes(&to) + 1);
  RT_CHECK(converted != NULL, RT_ERR_MEM, "%lld rows of a tensor",
           (long long)rows.rows);
  rt_dtype_convert(converted, to.dtype, rows.data, rows.dtype,
                   rt_view_size(&to));
  const rt_err err = rt_dev_put(dev, to, converted);
  free(converted);
  return err;
}

rt_err rt_param_put(const rt_param *p, rt_dev *dev, int64_t row0, rt_view rows)
{
  const int64_t end = row0 + rows.rows, shard_end = p->shard_row0 + p->shard_n;
  RT_TRY(put_rows(dev, rt_view_rows(p->w, row0, rows.rows), rows));
  const int64_t from = row0 > p->shard_row0 ? row0 : p->shard_row0;
  const int64_t to = end < shard_end ? end : shard_end;
  if (p->master.cols == 0 || from >= to)
    return RT_OK;
  return put_rows(dev, rt_view_rows(p->master, from - p->shard_row0, to - from),
                  rt_view_rows(rows, from - row0, to - from));
}

/** Reserve the master weights of this dp rank's rows. */
static rt_err reserve_masters(rt_params *p, rt_arena *arena)
{
  for (int i = 0; i < p->n; i++) {
    rt_param *t = &p->item[i];
    const rt_parts parts = rt_param_parts(p, i, &t->w);
    rt_parts_rows(&parts, p->grid->dp, p->grid->i_dp, &t->shard_row0,
                  &t->shard_n);
    if (p->types.master != p->types.weight)
      RT_TRY(rt_arena_reserve(arena, t->name, p->types.master, t->shard_n,
                              t->n_cols, &t->master));
  }
  return RT_OK;
}

/** Reserve the gradients of tensors [first, end), and one flat view of all, so
 *  that one exchange handles the whole bucket. */
static rt_err reserve_bucket(rt_params *p, int first, int end, rt_arena *arena)
{
  const int bucket = p->item[first].bucket;
  const rt_dtype type = p->types.grad;
  const size_t mark = rt_arena_mark(arena);
  RT_TRY(reserve_tiles(p, first, end, arena, type, gradient_of));
  const size_t bytes = rt_arena_mark(arena) - mark;
  char name[64];
  snprintf(name, sizeof name, "gradients, bucket %d", bucket);
  rt_arena_rewind(arena, mark);
  return rt_arena_reserve(arena, name, type, 1,
                          (int64_t)(bytes / rt_dtype_size(type)),
                          &p->bucket_grad[bucket]);
}

static rt_err reserve_grads(rt_params *p, rt_arena *arena)
{
  p->bucket_grad = calloc((size_t)p->n_buckets, sizeof *p->bucket_grad);
  RT_CHECK(p->bucket_grad, RT_ERR_MEM, "no memory for %d gradient buckets",
           p->n_buckets);
  for (int first = 0, end = 0; first < p->n; first = end) {
    while (end < p->n && p->item[end].bucket == p->item[first].bucket)
      end++;
    RT_TRY(reserve_bucket(p, first, end, arena));
  }
  return RT_OK;
}

/** The part of rt_params_init that is local to this rank. */
static rt_err lay_out(rt_params *p, const rt_arch *arch, rt_arena *arena,
                      rt_params_use use)
{
  RT_TRY(rt_arch_check(arch, "model"));
  RT_TRY(rt_arch_check_tp(arch, p->grid->tp, "tp"));
  RT_TRY(list_items(p, arch));
  RT_TRY(reserve_weights(p, arena));
  if (use == RT_PARAMS_FIXED)
    return RT_OK;
  RT_TRY(reserve_masters(p, arena));
  return reserve_grads(p, arena);
}

rt_err rt_params_init(rt_params *p, const rt_arch *arch, const rt_grid *grid,
                      rt_arena *arena, rt_types types, rt_params_use use)
{
  *p = (rt_params){.grid = grid, .types = types};
  RT_TRY(rt_agree(grid->world, lay_out(p, arch, arena, use)));
  if (grid->tp > arch->n_kv_heads) {
    const int n_replicas = grid->tp / (int)arch->n_kv_heads;
    RT_TRY(rt_comm_split(grid->comm_tp, grid->i_tp / n_replicas, grid->i_tp,
                         &p->comm_kv));
  }
  return RT_OK;
}

void rt_params_clear(rt_params *p)
{
  rt_comm_destroy(&p->comm_kv);
  free(p->item);
  free(p->bucket_grad);
  *p = (rt_params){0};
}

rt_parts rt_param_parts(const rt_params *p, int i, const rt_view *view)
{
  const int64_t rows = view->rows, dp = p->grid->dp;
  const int64_t each = (rows + dp - 1) / dp;
  return (rt_parts){view, each > 0 ? each : 1, (int)(i % dp)};
}

rt_err rt_params_arrive(const rt_params *p, int bucket)
{
  rt_comm_progress();
  return p->arrive == NULL ? RT_OK : p->arrive(p->arrive_self, bucket);
}

rt_err rt_params_arrive_all(const rt_params *p)
{
  for (int b = 0; b < p->n_buckets; b++)
    RT_TRY(rt_params_arrive(p, b));
  return RT_OK;
}

rt_view rt_params_grads(const rt_params *p)
{
  const rt_view first = p->bucket_grad[0];
  int64_t n = 0; // one range after the other, without gaps
  for (int b = 0; b < p->n_buckets; b++)
    n += p->bucket_grad[b].cols;
  return rt_view_of(first.data, first.dtype, 1, n);
}

void rt_params_zero(rt_params *p, rt_dev *dev)
{
  for (int i = 0; i < p->n; i++) {
    const rt_param *t = &p->item[i];
    if (t->pad_rows > 0)
      RT_RUN(dev, fill, .y = rt_view_rows(t->w, t->n_rows, t->pad_rows));
    if (t->master.rows > 0) // what is not padding is set with w
      RT_RUN(dev, fill, .y = t->master);
  }
  if (p->bucket_grad != NULL)
    RT_RUN(dev, fill, .y = rt_params_grads(p));
}

/** Draw normal numbers for rows [i0, i0 + n) of the tile of tensor \a index. */
static void draw_rows(double *out, const rt_param *t, int index, uint64_t seed,
                      int64_t i0, int64_t n)
{
#pragma omp parallel for
  for (int64_t i = 0; i < n; i++) {
    const uint64_t row = (uint64_t)index << 32 | (uint64_t)(t->row0 + i0 + i);
    for (int64_t j = 0; j < t->n_cols; j++)
      out[i * t->n_cols + j] =
          t->init_std *
          rt_rng_normal(seed, RT_RNG_INIT, row, (uint64_t)(t->col0 + j));
  }
}

/** Initialise a tensor in pieces, through \a host (\a n_max doubles). */
static rt_err randomize(const rt_param *t, int index, rt_dev *dev,
                        uint64_t seed, double *host, int64_t n_max)
{
  const int64_t step = n_max / t->n_cols;
  for (int64_t i0 = 0; i0 < t->n_rows; i0 += step) {
    const int64_t n = t->n_rows - i0 < step ? t->n_rows - i0 : step;
    draw_rows(host, t, index, seed, i0, n);
    RT_TRY(rt_param_put(t, dev, i0, rt_view_of(host, RT_F64, n, t->n_cols)));
  }
  return RT_OK;
}

static rt_err randomize_all(rt_params *p, rt_dev *dev, uint64_t seed,
                            double *host, int64_t n_max)
{
  for (int i = 0; i < p->n; i++) {
    rt_param *t = &p->item[i];
    const double value = t->init == RT_INIT_ONES ? 1.0 : 0.0;
    if (t->init == RT_INIT_NORMAL) {
      RT_TRY(randomize(t, i, dev, seed, host, n_max));
      continue;
    }
    RT_RUN(dev, fill, .y = t->w, .value = value);
    if (t->master.rows > 0)
      RT_RUN(dev, fill, .y = t->master, .value = value);
  }
  return RT_OK;
}

rt_err rt_params_random(rt_params *p, rt_dev *dev, uint64_t seed)
{
  int64_t n_max = 1 << 18; // 2 MiB per piece, or one row
  for (int i = 0; i < p->n; i++)
    n_max = p->item[i].n_cols > n_max ? p->item[i].n_cols : n_max;
  double *host = malloc((size_t)n_max * sizeof *host);
  RT_CHECK(host, RT_ERR_MEM, "no memory to draw weights: %lld doubles",
           (long long)n_max);
  const rt_err err = randomize_all(p, dev, seed, host, n_max);
  free(host);
  RT_TRY(err);
  return rt_dev_sync(dev);
}

const rt_param *rt_params_find(const rt_params *p, const char *name)
{
  for (int i = 0; i < p->n; i++)
    if (strcmp(p->item[i].name, name) == 0)
      return &p->item[i];
  return NULL;
}

int64_t rt_params_n_local(const rt_params *p)
{
  int64_t n = 0;
  for (int i = 0; i < p->n; i++)
    n += (int64_t)rt_view_size(&p->item[i].w);
  return n;
}
