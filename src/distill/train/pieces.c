/** \file pieces.c */
#include "distill/train/pieces.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

rt_err rt_pieces_init(rt_pieces *s, rt_dev *dev, int n_max)
{
  *s = (rt_pieces){.dev = dev};
  s->piece = calloc((size_t)n_max, sizeof *s->piece);
  s->slab = calloc((size_t)n_max, sizeof *s->slab);
  RT_CHECK(s->piece && s->slab, RT_ERR_MEM, "%d slabs", n_max);
  return RT_OK;
}

void rt_pieces_clear(rt_pieces *s)
{
  free(s->piece);
  free(s->slab);
  free(s->host);
  *s = (rt_pieces){0};
}

/** Rows of \a n, from row \a row0 of the tile on, that are not padding. */
static int64_t true_rows(const rt_param *p, int64_t row0, int64_t n)
{
  const int64_t left = p->n_rows - row0;
  return left < 0 ? 0 : left < n ? left : n;
}

/** Rows [row0, row0 + rows.rows) of \a p's tile; padding rows are not
 *  stored.  \a mine: this rank writes or reads the rows (otherwise a replica
 *  does). */
static void add(rt_pieces *s, char kind, const rt_param *p, int64_t row0,
                rt_view rows, bool mine)
{
  rt_piece *piece = &s->piece[s->n];
  const int64_t n = true_rows(p, row0, rows.rows);
  snprintf(piece->name, sizeof piece->name, "%c/%s", kind, p->name);
  piece->on_dev = rt_view_rows(rows, 0, mine ? n : 0);
  piece->padding = rt_view_rows(rows, n, rows.rows - n);
  s->slab[s->n] = (rt_slab){.name = piece->name,
                            .rows = p->rows,
                            .cols = p->cols,
                            .row0 = mine && n > 0 ? p->row0 + row0 : 0,
                            .col0 = mine && n > 0 ? p->col0 : 0,
                            .data = piece->on_dev};
  s->n++;
}

/** Let the slabs use \a block. */
static void assign(rt_pieces *s, char *block)
{
  for (int i = 0; i < s->n; i++) {
    const rt_view v = s->piece[i].on_dev;
    s->slab[i].data = rt_view_of(block, v.dtype, v.rows, v.cols);
    block += rt_view_bytes(&v);
  }
}

rt_err rt_pieces_stage(rt_pieces *s)
{
  size_t bytes = 0;
  if (rt_dev_on_host(s->dev))
    return rt_dev_sync(s->dev);
  for (int i = 0; i < s->n; i++)
    bytes += rt_view_bytes(&s->slab[i].data);
  s->host = malloc(bytes + 1);
  RT_CHECK(s->host != NULL, RT_ERR_MEM,
           "%zu bytes to pass a checkpoint through", bytes);
  assign(s, s->host);
  return RT_OK;
}

static rt_err get_all(const rt_pieces *s)
{
  for (int i = 0; i < s->n; i++)
    if (s->piece[i].on_dev.rows > 0)
      RT_TRY(rt_dev_get(s->dev, s->slab[i].data.data, s->piece[i].on_dev));
  return RT_OK;
}

rt_err rt_pieces_from_device(rt_pieces *s)
{
  RT_TRY(rt_pieces_stage(s));
  return s->host != NULL ? get_all(s) : RT_OK;
}

rt_err rt_pieces_copy(rt_pieces *s, char *block)
{
  assign(s, block);
  return get_all(s);
}

size_t rt_pieces_written_bytes(const rt_params *params, rt_adamw *opt)
{
  size_t bytes = 0;
  for (int i = 0; i < params->n; i++) {
    const rt_param *const p = &params->item[i];
    const rt_adamw_shard *const shard = rt_adamw_shard_of(opt, i);
    const rt_view all[] = {rt_param_master(p), shard->m, shard->v};
    const int64_t n = p->owner ? true_rows(p, shard->row0, shard->n) : 0;
    for (int k = 0; k < 3; k++)
      bytes += (size_t)(n * all[k].cols) * rt_dtype_size(all[k].dtype);
  }
  return bytes;
}

/** Is it a value of a weight or first moment, or (\a squares) of a second
 *  moment, which may overflow to infinity? */
static bool is_value(double x, bool squares)
{
  return squares ? x >= 0.0 : isfinite(x);
}

/** The number of wrong values in row \a r of \a v. */
static int64_t count_wrong(rt_view v, int64_t r, bool squares)
{
  int64_t n = 0;
  if (v.dtype == RT_F32) {
    const float *const x = (const float *)v.data + r * v.ld;
    for (int64_t c = 0; c < v.cols; c++)
      n += !is_value((double)x[c], squares);
  } else {
    const double *const x = (const double *)v.data + r * v.ld;
    for (int64_t c = 0; c < v.cols; c++)
      n += !is_value(x[c], squares);
  }
  return n;
}

rt_err rt_pieces_check(const rt_slab *slabs, int n)
{
  for (int i = 0; i < n; i++) {
    const rt_view v = slabs[i].data;
    int64_t n_wrong = 0;
    for (int64_t r = 0; r < v.rows; r++)
      n_wrong += count_wrong(v, r, slabs[i].name[0] == 'v');
    RT_CHECK(n_wrong == 0, RT_ERR_DATA,
             "the checkpoint's %s has %lld values that no run writes (NaN, "
             "Inf, or a negative mean of squares)",
             slabs[i].name, (long long)n_wrong);
  }
  return RT_OK;
}

rt_err rt_pieces_to_device(rt_pieces *s)
{
  for (int i = 0; i < s->n; i++) {
    if (s->host != NULL && s->piece[i].on_dev.rows > 0)
      RT_TRY(rt_dev_put(s->dev, s->piece[i].on_dev, s->slab[i].data.data));
    if (s->piece[i].padding.rows > 0)
      RT_RUN(s->dev, fill, .y = s->piece[i].padding, .value = 0.0);
  }
  return rt_dev_sync(s->dev);
}

void rt_pieces_add_written(rt_pieces *s, const rt_params *params, rt_adamw *opt)
{
  for (int i = 0; i < params->n; i++) {
    const rt_param *const p = &params->item[i];
    const rt_adamw_shard *const shard = rt_adamw_shard_of(opt, i);
    add(s, 'w', p, shard->row0, rt_param_master(p), p->owner);
  }
  for (int i = 0; i < params->n; i++) {
    const rt_param *const p = &params->item[i];
    const rt_adamw_shard *const shard = rt_adamw_shard_of(opt, i);
    add(s, 'm', p, shard->row0, shard->m, p->owner);
    add(s, 'v', p, shard->row0, shard->v, p->owner);
  }
}

void rt_pieces_add_masters(rt_pieces *s, const rt_params *params)
{
  for (int i = 0; i < params->n; i++)
    add(s, 'w', &params->item[i], params->item[i].shard_row0,
        rt_param_master(&params->item[i]), true);
}

void rt_pieces_add_weights(rt_pieces *s, const rt_params *params)
{
  for (int i = 0; i < params->n; i++)
    add(s, 'w', &params->item[i], 0, params->item[i].w, true);
}

void rt_pieces_add_moments(rt_pieces *s, const rt_params *params, rt_adamw *opt)
{
  for (int i = 0; i < params->n; i++) {
    const rt_adamw_shard *const shard = rt_adamw_shard_of(opt, i);
    add(s, 'm', &params->item[i], shard->row0, shard->m, true);
    add(s, 'v', &params->item[i], shard->row0, shard->v, true);
  }
}
