/** \file acts.c
 *  Memory plan of the activations. */
#include "model/acts.h"

typedef struct row {
  const char *name;
  int64_t cols;
  rt_life life;
  rt_half half;
  rt_dtype type;
} row;

static void rows_of(const rt_acts_size *s, row out[RT_N_ACTS])
{
  const int64_t D = s->width, H = s->n_heads, F = s->ffn;
  const int64_t Q = H * s->head_dim, P = (H + 2 * s->n_kv_heads) * s->head_dim;
#define ROW(id, cols_, life_, half_, role_)                                    \
  out[RT_ACT_##id] =                                                           \
      (row){#id, cols_, RT_LIFE_##life_, RT_HALF_##half_, s->types.role_};
  RT_ACT_LIST(ROW)
#undef ROW
}

static rt_err reserve(rt_arena *arena, const rt_acts_size *s, const row *r,
                      rt_view *view)
{
  return rt_arena_reserve(arena, r->name, r->type, s->n_tokens, r->cols, view);
}

static bool is_kept(const row *r, rt_keep keep)
{
  return keep != RT_KEEP_NOTHING &&
         (r->life == RT_LIFE_INPUT ||
          (r->life == RT_LIFE_SAVE && keep == RT_KEEP_SAVED));
}

/** Of a block that is computed again, both halves are needed at once. */
static rt_half half_of(const row *r, rt_keep keep)
{
  return keep == RT_KEEP_INPUTS && r->life == RT_LIFE_SAVE ? RT_HALF_BOTH
                                                           : r->half;
}

/** Reserve the shared activations of one half of a block. */
static rt_err reserve_half(rt_arena *arena, const rt_acts_size *s, rt_keep keep,
                           rt_half half, rt_acts *shared)
{
  row r[RT_N_ACTS];
  rows_of(s, r);
  for (int i = 0; i < RT_N_ACTS; i++) {
    const bool absent = is_kept(&r[i], keep) || (keep == RT_KEEP_NOTHING &&
                                                 r[i].life == RT_LIFE_SCRATCH);
    if (half_of(&r[i], keep) == half && !absent)
      RT_TRY(reserve(arena, s, &r[i], &shared->v[i]));
  }
  return RT_OK;
}

rt_err rt_acts_reserve(rt_arena *arena, const rt_acts_size *size, rt_keep keep,
                       int n_blocks, rt_acts *save, rt_acts *shared)
{
  row r[RT_N_ACTS];
  rows_of(size, r);
  for (int b = 0; keep != RT_KEEP_NOTHING && b < n_blocks; b++)
    for (int i = 0; i < RT_N_ACTS; i++)
      if (is_kept(&r[i], keep))
        RT_TRY(reserve(arena, size, &r[i], &save[b].v[i]));
  RT_TRY(reserve_half(arena, size, keep, RT_HALF_BOTH, shared));
  // the two halves of a block run one after the other and share memory
  const size_t mark = rt_arena_mark(arena);
  RT_TRY(reserve_half(arena, size, keep, RT_HALF_ATTN, shared));
  rt_arena_rewind(arena, mark);
  return reserve_half(arena, size, keep, RT_HALF_MLP, shared);
}

rt_acts rt_acts_of(const rt_acts *save, const rt_acts *shared, int64_t n)
{
  rt_acts out = *shared;
  for (int i = 0; i < RT_N_ACTS; i++) {
    if (save != NULL && save->v[i].rows > 0)
      out.v[i] = save->v[i];
    if (out.v[i].rows > 0)
      out.v[i] = rt_view_rows(out.v[i], 0, n);
  }
  return out;
}
