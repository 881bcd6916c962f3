/** \file test_params.c
 *  Tiles of tensors over tp.
 *  ranks: 1 2 4 */
#include "model/tensors.h"
#include "support/param_set.h"

#include <math.h>
#include <string.h>

static rt_arch arch_of(int64_t n_kv_heads, bool tied)
{
  return (rt_arch){.family = "llama",
                   .vocab = 37, // leaves padding with tp 2 and 4
                   .width = 8,
                   .n_blocks = 2,
                   .n_heads = 4,
                   .n_kv_heads = n_kv_heads,
                   .head_dim = 6,
                   .ffn = 12,
                   .max_positions = 16,
                   .norm_eps = 1e-5,
                   .rope_theta = 1e4,
                   .tied = tied,
                   .qkv_bias = true,
                   .o_bias = true,
                   .mlp_bias = true,
                   .init_std = 0.5};
}

static void start(set *s, MPI_Comm comm, const rt_arch *arch)
{
  *s = (set){0};
  RT_OKAY(rt_comm_create(comm, &s->comm));
  RT_OKAY(rt_grid_init(&s->grid, s->comm, rt_comm_size(s->comm), "tp"));
  RT_OKAY(rt_dev_create("cpu", 1, &s->dev));
  RT_OKAY(rt_arena_create("set", &s->arena));
  RT_OKAY(rt_params_init(&s->p, arch, &s->grid, s->arena, rt_types_of(RT_F64),
                         RT_PARAMS_TRAINED));
  RT_OKAY(rt_arena_commit(s->arena, rt_dev_memory(s->dev)));
  for (int i = 0; i < s->p.n; i++)
    RT_RUN(s->dev, fill, .y = s->p.item[i].w, .value = 7.0);
  for (int b = 0; b < s->p.n_buckets; b++)
    RT_RUN(s->dev, fill, .y = s->p.bucket_grad[b], .value = 7.0);
  rt_params_zero(&s->p, s->dev);
  RT_OKAY(rt_dev_sync(s->dev));
}

/** Add 1 to every element of the whole tensor that this rank's tile holds. */
static void mark_tile(const rt_param *t, int32_t *seen)
{
  for (int64_t i = t->row0; i < t->row0 + t->n_rows; i++)
    for (int64_t j = t->col0; j < t->col0 + t->n_cols; j++)
      seen[i * t->cols + j]++;
}

static void check_cover(const set *s, const rt_param *t)
{
  const size_t n = (size_t)(t->rows * t->cols);
  int32_t *owned = calloc(n, sizeof *owned), *held = calloc(n, sizeof *held);
  CU_ASSERT_FATAL(owned != NULL && held != NULL);
  if (t->owner)
    mark_tile(t, owned);
  mark_tile(t, held);
  RT_OKAY(rt_comm_allreduce_host(s->comm, owned, n, RT_I32, RT_SUM));
  RT_OKAY(rt_comm_allreduce_host(s->comm, held, n, RT_I32, RT_SUM));
  int bad = 0;
  for (size_t i = 0; i < n; i++)
    bad += owned[i] != 1 || held[i] != t->n_replicas;
  CU_ASSERT_EQUAL(bad, 0);
  if (bad != 0)
    fprintf(stderr, "%s: %d of %zu elements\n", t->name, bad, n);
  free(owned);
  free(held);
}

static void check_cover_of(int64_t n_kv_heads, bool tied)
{
  const rt_arch arch = arch_of(n_kv_heads, tied);
  set s;
  start(&s, MPI_COMM_WORLD, &arch);
  int64_t n = 0;
  for (int i = 0; i < s.p.n; i++) {
    check_cover(&s, &s.p.item[i]);
    n += s.p.item[i].rows * s.p.item[i].cols;
  }
  CU_ASSERT_EQUAL(n, rt_arch_n_params(&arch));
  CU_ASSERT_EQUAL(s.p.comm_kv != NULL, s.grid.tp > n_kv_heads);
  if (s.p.comm_kv != NULL)
    CU_ASSERT_EQUAL(rt_comm_size(s.p.comm_kv), s.grid.tp / (int)n_kv_heads);
  set_finish(&s);
}

static void test_cover(void)
{
  check_cover_of(4, true);
  check_cover_of(2, false);
  check_cover_of(1, true);
}

static void test_names(void)
{
  const rt_arch arch = arch_of(2, false);
  set s;
  start(&s, MPI_COMM_SELF, &arch);
  const rt_param *t =
      rt_params_find(&s.p, "model.layers.1.self_attn.k_proj.bias");
  CU_ASSERT_PTR_NOT_NULL_FATAL(t);
  CU_ASSERT(t->rows == 1 && t->cols == 12 && t->vector && !t->decay);
  CU_ASSERT(t->bucket == 2 && t->init == RT_INIT_ZEROS);
  t = rt_params_find(&s.p, "model.layers.0.mlp.down_proj.weight");
  CU_ASSERT_PTR_NOT_NULL_FATAL(t);
  CU_ASSERT(t->rows == 8 && t->cols == 12 && !t->vector && t->decay);
  CU_ASSERT_DOUBLE_EQUAL(t->init_std, 0.25, 1e-15); // 0.5 / sqrt(2 * 2)
  t = rt_params_find(&s.p, "lm_head.weight");
  CU_ASSERT_PTR_NOT_NULL_FATAL(t);
  CU_ASSERT(t->bucket == 3 && t->rows == 37 && t->cols == 8);
  CU_ASSERT_PTR_NULL(rt_params_find(&s.p, "model.layers.2.mlp.up_proj.weight"));
  CU_ASSERT_EQUAL(rt_params_n_local(&s.p), rt_arch_n_params(&arch));
  set_finish(&s);
}

/** Gradients of tensors \a i and \a k do not overlap. */
static bool are_apart(const rt_params *p, int i, int k)
{
  const rt_view *a = &p->item[i].g, *b = &p->item[k].g;
  const double *x = a->data, *y = b->data;
  return x + rt_view_size(a) <= y || y + rt_view_size(b) <= x;
}

/** Tensors that one product takes lie one behind the other. */
static void check_joined(const rt_params *p, int i)
{
  const rt_param *t = &p->item[i];
  const int before = (int)rt_tensor_before((rt_tensor_id)t->kind);
  for (int k = 0; k < i; k++)
    if (p->item[k].bucket == t->bucket && p->item[k].kind == before) {
      const rt_param *b = &p->item[k];
      CU_ASSERT_PTR_EQUAL((double *)b->w.data + rt_view_size(&b->w), t->w.data);
      CU_ASSERT_PTR_EQUAL((double *)b->g.data + rt_view_size(&b->g), t->g.data);
      return;
    }
  CU_ASSERT_EQUAL(before, t->kind);
}

/** Buckets are flat: each holds its tensors' gradients, disjoint. */
static void test_buckets(void)
{
  const rt_arch arch = arch_of(2, false);
  set s;
  start(&s, MPI_COMM_WORLD, &arch);
  CU_ASSERT_EQUAL(s.p.n_buckets, 4);
  for (int i = 0; i < s.p.n; i++) {
    const rt_param *t = &s.p.item[i];
    const rt_view *b = &s.p.bucket_grad[t->bucket];
    const double *g = t->g.data, *flat = b->data;
    if (i == 0 || t->bucket != s.p.item[i - 1].bucket)
      CU_ASSERT_PTR_EQUAL(g, flat);
    CU_ASSERT(g >= flat && g + rt_view_size(&t->g) <= flat + b->cols);
    for (int k = 0; k < i; k++)
      CU_ASSERT(are_apart(&s.p, i, k));
    check_joined(&s.p, i);
    CU_ASSERT(g + rt_view_size(&t->g) <= (const double *)t->w.data ||
              g >= (const double *)t->w.data + rt_view_size(&t->w));
  }
  for (int b = 0; b < s.p.n_buckets; b++)
    for (int64_t j = 0; j < s.p.bucket_grad[b].cols; j++)
      CU_ASSERT_EQUAL(((const double *)s.p.bucket_grad[b].data)[j], 0.0);
  set_finish(&s);
}

/** The tile of \a t equals that part of \a whole; padding is zero. */
static void check_same(const rt_param *t, const rt_param *whole)
{
  const double *w = t->w.data, *all = whole->w.data;
  int bad = 0;
  for (int64_t i = 0; i < t->n_rows; i++)
    for (int64_t j = 0; j < t->n_cols; j++)
      bad += w[i * t->n_cols + j] !=
             all[(t->row0 + i) * whole->n_cols + t->col0 + j];
  for (int64_t i = t->n_rows; i < t->n_rows + t->pad_rows; i++)
    for (int64_t j = 0; j < t->n_cols; j++)
      bad += w[i * t->n_cols + j] != 0.0;
  CU_ASSERT_EQUAL(bad, 0);
}

static void test_random(void)
{
  const rt_arch arch = arch_of(2, false);
  set many, one;
  start(&many, MPI_COMM_WORLD, &arch);
  start(&one, MPI_COMM_SELF, &arch);
  RT_OKAY(rt_params_random(&many.p, many.dev, 7));
  RT_OKAY(rt_params_random(&one.p, one.dev, 7));
  CU_ASSERT_EQUAL_FATAL(many.p.n, one.p.n);
  for (int i = 0; i < one.p.n; i++) {
    const rt_param *t = &one.p.item[i];
    CU_ASSERT_STRING_EQUAL(t->name, many.p.item[i].name);
    check_same(&many.p.item[i], t);
    const double *w = t->w.data, n = (double)(t->rows * t->cols);
    double sum = 0.0;
    for (int64_t k = 0; k < t->rows * t->cols; k++)
      sum += w[k] * w[k];
    if (t->init == RT_INIT_NORMAL) { // 5 deviations of a variance's estimate
      CU_ASSERT_DOUBLE_EQUAL(sum / n / (t->init_std * t->init_std), 1.0,
                             5.0 * sqrt(2.0 / n));
    } else {
      CU_ASSERT_EQUAL(sum, t->init == RT_INIT_ONES ? n : 0.0);
    }
  }
  const double *q = rt_params_find(&one.p, "model.layers.0.self_attn.q_proj."
                                           "weight")
                        ->w.data;
  const double *q1 = rt_params_find(&one.p, "model.layers.1.self_attn.q_proj."
                                            "weight")
                         ->w.data;
  CU_ASSERT(q[0] != q1[0] && q[0] != q[1]);
  set_finish(&many);
  set_finish(&one);
}

static void test_bad_tp(void)
{
  rt_arch arch = arch_of(4, true);
  rt_comm *comm;
  rt_grid grid;
  rt_arena *arena;
  rt_params p;
  RT_OKAY(rt_comm_create(MPI_COMM_WORLD, &comm));
  const int tp = rt_comm_size(comm);
  RT_OKAY(rt_grid_init(&grid, comm, tp, "tp"));
  RT_OKAY(rt_arena_create("set", &arena));
  arch.n_heads = arch.n_kv_heads = 3;
  const rt_err err = rt_params_init(&p, &arch, &grid, arena,
                                    rt_types_of(RT_F64), RT_PARAMS_TRAINED);
  CU_ASSERT_EQUAL(err, tp == 1 ? RT_OK : RT_ERR_CONFIG);
  if (tp > 1)
    CU_ASSERT_PTR_NOT_NULL(strstr(rt_err_text(), "valid values: 1 3"));
  rt_params_clear(&p);
  rt_arena_destroy(&arena);
  rt_grid_clear(&grid);
  rt_comm_destroy(&comm);
}

RT_TEST_MAIN("params", {"tiles cover each tensor once", test_cover},
             {"names, shapes and roles", test_names},
             {"gradient buckets are flat", test_buckets},
             {"random weights do not depend on tp", test_random},
             {"an impossible tp is refused", test_bad_tp})
