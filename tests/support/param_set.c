/** \file param_set.c */
#include "support/param_set.h"

#include "base/rng.h"
#include "support/small_arch.h"

/** Rows that dp 2 and 4 do not divide, vectors, padding; n_kv_heads 1 gives
 *  replicas with tp > 1. */
static rt_arch arch_of(int64_t n_kv_heads)
{
  rt_arch a = small_arch(37);
  a.width = 10;
  a.n_kv_heads = n_kv_heads;
  a.head_dim = 6;
  a.tied = false;
  a.qkv_bias = true;
  a.init_std = 0.5;
  return a;
}

void set_start(set *s, set_spec how)
{
  *s = (set){0};
  const rt_arch arch = arch_of(how.n_kv_heads);
  RT_OKAY(rt_comm_create(how.comm, &s->comm));
  RT_OKAY(rt_grid_init(&s->grid, s->comm, how.tp, "tp"));
  RT_OKAY(rt_dev_create(how.device, 1, &s->dev));
  RT_OKAY(rt_arena_create("set", &s->arena));
  RT_OKAY(rt_params_init(&s->p, &arch, &s->grid, s->arena,
                         rt_types_of(how.real),
                         how.with_grad ? RT_PARAMS_TRAINED : RT_PARAMS_FIXED));
  RT_OKAY(rt_arena_commit(s->arena, rt_dev_memory(s->dev)));
  if (how.with_grad)
    rt_params_zero(&s->p, s->dev);
  RT_OKAY(rt_dev_sync(s->dev));
}

void set_finish(set *s)
{
  rt_params_clear(&s->p);
  rt_arena_destroy(&s->arena);
  rt_dev_destroy(&s->dev);
  rt_grid_clear(&s->grid);
  rt_comm_destroy(&s->comm);
}

double set_random(int i, int64_t row, int64_t col, int salt)
{
  return rt_rng_normal(3, RT_RNG_TEST,
                       (uint64_t)salt << 48 | (uint64_t)i << 24 | (uint64_t)row,
                       (uint64_t)col);
}

void set_put(const set *s, int i, rt_view v, element_fn *value, int salt,
             double factor)
{
  const rt_param *t = &s->p.item[i];
  const size_t n = rt_view_size(&v);
  double *x = calloc(n + 1, sizeof *x);
  void *raw = malloc((n + 1) * sizeof *x);
  CU_ASSERT_FATAL(x != NULL && raw != NULL);
  for (int64_t r = 0; r < t->n_rows; r++)
    for (int64_t c = 0; c < t->n_cols; c++)
      x[r * t->n_cols + c] = factor * value(i, t->row0 + r, t->col0 + c, salt);
  rt_dtype_convert(raw, v.dtype, x, RT_F64, n);
  RT_OKAY(rt_dev_put(s->dev, v, raw));
  free(x);
  free(raw);
}

double *set_get(const set *s, rt_view v)
{
  const size_t n = rt_view_size(&v);
  double *x = malloc((n + 1) * sizeof *x);
  void *raw = malloc((n + 1) * sizeof *x);
  CU_ASSERT_FATAL(x != NULL && raw != NULL);
  RT_OKAY(rt_dev_get(s->dev, raw, v));
  rt_dtype_convert(x, RT_F64, raw, v.dtype, n);
  free(raw);
  return x;
}
