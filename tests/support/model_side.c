/** \file model_side.c */
#include "support/model_side.h"

#include "support/small_arch.h"

rt_arch plain(void)
{
  rt_arch a = small_arch(37); // leaves padding with tp 2 and 4
  a.n_kv_heads = 2;
  a.norm_eps = 1e-3;
  a.rope_theta = 100.0;
  return a;
}

rt_arch rich(void)
{
  rt_arch a = plain();
  a.head_dim = 6; // not width / heads
  a.tied = false;
  a.qkv_bias = a.o_bias = a.mlp_bias = true;
  // wave lengths 6.3, 29 and 135 are kept, blended and divided
  a.rope_scaling = (rt_rope_scaling){RT_ROPE_LLAMA3, 8.0, 1.0, 4.0, 32};
  return a;
}

rt_arch one_kv_head(void)
{
  rt_arch a = plain();
  a.n_kv_heads = 1;
  return a;
}

/** Ids, positions and document starts; \a docs: three documents in row 0. */
static void put_tokens(side *s, bool docs)
{
  int32_t tok[N], pos[N], doc[N];
  for (int i = 0; i < N; i++) {
    const int t = i % T;
    tok[i] = (5 * i * i + 3) % 37;
    doc[i] = !docs || i >= T ? 0 : t < 3 ? 0 : t < 4 ? 3 : 4;
    pos[i] = t - doc[i];
  }
  s->in.n_rows = N_ROWS;
  s->in.seq = T;
  RT_OKAY(rt_arena_create("tokens", &s->arena));
  RT_OKAY(rt_arena_reserve(s->arena, "tok", RT_I32, N, 1, &s->in.tok));
  RT_OKAY(rt_arena_reserve(s->arena, "pos", RT_I32, N, 1, &s->in.pos));
  RT_OKAY(rt_arena_reserve(s->arena, "doc", RT_I32, N, 1, &s->in.doc_start));
  RT_OKAY(rt_arena_commit(s->arena, rt_dev_memory(s->dev)));
  RT_OKAY(rt_dev_put(s->dev, s->in.tok, tok));
  RT_OKAY(rt_dev_put(s->dev, s->in.pos, pos));
  RT_OKAY(rt_dev_put(s->dev, s->in.doc_start, doc));
}

double *fetch(const side *s, rt_view v)
{
  const size_t n = rt_view_size(&v);
  double *out = malloc((n + 1) * sizeof *out), *raw = malloc((n + 1) * 8);
  CU_ASSERT_FATAL(out != NULL && raw != NULL);
  RT_OKAY(rt_dev_get(s->dev, raw, v));
  rt_dtype_convert(out, RT_F64, raw, v.dtype, n);
  free(raw);
  return out;
}

void store(const side *s, rt_view v, const double *x)
{
  const size_t n = rt_view_size(&v);
  void *raw = malloc((n + 1) * 8);
  CU_ASSERT_FATAL(raw != NULL);
  rt_dtype_convert(raw, v.dtype, x, RT_F64, n);
  RT_OKAY(rt_dev_put(s->dev, v, raw));
  free(raw);
}

/** Values for every tensor, biases and norms too, the same for any layout. */
static void put_weights(const side *s)
{
  const rt_params *p = rt_model_params(s->m);
  for (int i = 0; i < p->n; i++) {
    const rt_param *t = &p->item[i];
    double *x = malloc((rt_view_size(&t->w) + 1) * sizeof *x);
    CU_ASSERT_FATAL(x != NULL);
    for (int64_t r = 0; r < t->n_rows; r++)
      for (int64_t c = 0; c < t->n_cols; c++)
        x[r * t->n_cols + c] =
            (t->init == RT_INIT_ONES ? 1.0 : 0.0) +
            0.4 * rt_rng_normal(1, RT_RNG_TEST,
                                (uint64_t)i << 32 | (uint64_t)(t->row0 + r),
                                (uint64_t)(t->col0 + c));
    store(s, rt_view_rows(t->w, 0, t->n_rows), x);
    free(x);
  }
}

void start(side *s, const rt_arch *arch, setup how)
{
  *s = (side){0};
  RT_OKAY(rt_comm_create(how.comm, &s->comm));
  RT_OKAY(rt_grid_init(&s->grid, s->comm, rt_comm_size(s->comm), "tp"));
  RT_OKAY(rt_dev_create(how.device, 1, &s->dev));
  put_tokens(s, how.docs);
  const rt_model_spec spec = {.arch = arch,
                              .grid = &s->grid,
                              .dev = s->dev,
                              .types = rt_types_of(how.real),
                              .max_rows = N_ROWS,
                              .seq = T,
                              .train = how.train,
                              .recompute = how.recompute};
  RT_OKAY(rt_model_create("m", &spec, &s->m));
  RT_OKAY(rt_model_commit(s->m));
  put_weights(s);
}

void finish(side *s)
{
  rt_model_destroy(&s->m);
  rt_arena_destroy(&s->arena);
  rt_dev_destroy(&s->dev);
  rt_grid_clear(&s->grid);
  rt_comm_destroy(&s->comm);
}

double slope(int64_t i)
{
  return rt_rng_normal(2, RT_RNG_TEST, 0, (uint64_t)i);
}

void run(side *s, rt_bucket_fn *done, void *self)
{
  rt_view hidden;
  RT_OKAY(rt_model_forward(s->m, &s->in, &hidden));
  const int64_t n = (int64_t)rt_view_size(&hidden);
  double *d = malloc((size_t)n * sizeof *d);
  CU_ASSERT_FATAL(d != NULL);
  const int tp = s->grid.tp;
  for (int64_t i = 0; i < n; i++)
    d[i] = slope(i) * 2.0 * (s->grid.i_tp + 1) / (tp * (tp + 1));
  const rt_view d_hidden = rt_model_d_hidden(s->m);
  store(s, d_hidden, d);
  RT_OKAY(rt_model_backward(s->m, &s->in, d_hidden, done, self));
  RT_OKAY(rt_dev_sync(s->dev));
  free(d);
}

double norm_of(const double *x, int64_t n)
{
  double sum = 0.0;
  for (int64_t i = 0; i < n; i++)
    sum += x[i] * x[i];
  return sqrt(sum);
}

void check_near(const char *what, const double *x, const double *y, int64_t n,
                double tol)
{
  double sum = 0.0;
  for (int64_t i = 0; i < n; i++)
    sum += (x[i] - y[i]) * (x[i] - y[i]);
  const double size = norm_of(y, n);
  const bool near = sqrt(sum) <= tol * size && size > 0.0;
  CU_ASSERT(near);
  if (!near)
    fprintf(stderr, "%s: off by %g of %g\n", what, sqrt(sum), size);
}
