/** \file test_model_tp.c
 *  A model over tp against one rank, another precision, the lazy device.
 *  ranks: 1 2 4 */
#include "support/model_side.h"

/** One tensor's gradient of \a s (any tp), and this rank's part of that of \a
 *  whole (tp 1); to free. */
static void fetch_grads(side *s, side *whole, int i, double **g, double **part)
{
  const rt_params *p = rt_model_params(s->m);
  const rt_param *t = &p->item[i], *u = &rt_model_params(whole->m)->item[i];
  CU_ASSERT_STRING_EQUAL(t->name, u->name);
  if (t->split == RT_SPLIT_KV && p->comm_kv != NULL) // gradsync's work
    RT_OKAY(rt_comm_allreduce(p->comm_kv, s->dev, t->g, RT_SUM));
  double *const all = fetch(whole, u->g);
  *g = fetch(s, t->g);
  *part = malloc((rt_view_size(&t->g) + 1) * sizeof **part);
  CU_ASSERT_FATAL(*part != NULL);
  for (int64_t r = 0; r < t->n_rows; r++)
    memcpy(*part + r * t->n_cols, all + (t->row0 + r) * u->n_cols + t->col0,
           (size_t)t->n_cols * sizeof **part);
  free(all);
}

/** Is it filled by the objective? */
static bool is_head(const rt_param *t)
{
  return strcmp(t->name, "lm_head.weight") == 0;
}

/** Gradients of \a s (any tp) against those of \a whole (tp 1). */
static void compare_grads(side *s, side *whole, double tol)
{
  const rt_params *p = rt_model_params(s->m);
  for (int i = 0; i < p->n; i++) {
    const rt_param *t = &p->item[i];
    double *g, *part;
    if (is_head(t))
      continue;
    fetch_grads(s, whole, i, &g, &part);
    check_near(t->name, g, part, t->n_rows * t->n_cols, tol);
    CU_ASSERT_EQUAL(norm_of(g + t->n_rows * t->n_cols, t->pad_rows * t->n_cols),
                    0.0);
    free(g);
    free(part);
  }
}

/** The same for the whole gradient: of single tensors, such as biases of keys,
 *  little remains of large terms. */
static void compare_gradient(side *s, side *whole, double tol)
{
  const rt_params *p = rt_model_params(s->m);
  double difference = 0.0, size = 0.0;
  for (int i = 0; i < p->n; i++) {
    const rt_param *t = &p->item[i];
    double *g, *part;
    if (is_head(t))
      continue;
    fetch_grads(s, whole, i, &g, &part);
    for (int64_t k = 0; k < t->n_rows * t->n_cols; k++) {
      difference += (g[k] - part[k]) * (g[k] - part[k]);
      size += part[k] * part[k];
    }
    free(g);
    free(part);
  }
  CU_ASSERT(sqrt(difference) <= tol * sqrt(size) && size > 0.0);
  if (!(sqrt(difference) <= tol * sqrt(size)))
    fprintf(stderr, "gradient: off by %g of %g\n", sqrt(difference),
            sqrt(size));
}

static void compare_hidden(side *s, side *whole, double tol)
{
  rt_view h, h1;
  RT_OKAY(rt_model_forward(s->m, &s->in, &h));
  RT_OKAY(rt_model_forward(whole->m, &whole->in, &h1));
  double *x = fetch(s, h), *y = fetch(whole, h1);
  check_near("hidden", x, y, (int64_t)rt_view_size(&h), tol);
  free(x);
  free(y);
}

static void check_split(rt_arch arch, bool docs)
{
  setup how = ALONE;
  how.docs = docs;
  side one, many;
  start(&one, &arch, how);
  how.comm = MPI_COMM_WORLD;
  start(&many, &arch, how);
  compare_hidden(&many, &one, 1e-10);
  run(&one, NULL, NULL);
  run(&many, NULL, NULL);
  compare_grads(&many, &one, 1e-10);
  const rt_head head = rt_model_head(many.m);
  const int64_t padded = (arch.vocab + many.grid.tp - 1) / many.grid.tp;
  CU_ASSERT(head.w.rows == padded && head.g.rows == padded);
  CU_ASSERT(head.v0 == padded * many.grid.i_tp && head.vocab == arch.vocab);
  const rt_param *t = rt_params_find(rt_model_params(many.m),
                                     arch.tied ? "model.embed_tokens.weight"
                                               : "lm_head.weight");
  CU_ASSERT(head.w.data == t->w.data && head.g.data == t->g.data);
  finish(&many);
  finish(&one);
}

static void test_split(void)
{
  check_split(plain(), false);
  check_split(one_kv_head(), false);
  check_split(rich(), true);
}

/** fp32 against f64: sums come in another order with each BLAS kernel
 *  and tp (1.04e-5 of a gradient's norm with OpenBLAS's SSE kernels
 *  on 4 ranks). */
static void check_type(rt_dtype type, double bar)
{
  const rt_arch arch = rich();
  setup how = ALONE;
  side fine, coarse;
  start(&fine, &arch, how);
  how.comm = MPI_COMM_WORLD;
  how.real = type;
  start(&coarse, &arch, how);
  compare_hidden(&coarse, &fine, bar);
  run(&fine, NULL, NULL);
  run(&coarse, NULL, NULL);
  if (type == RT_BF16)
    compare_gradient(&coarse, &fine, bar);
  else
    compare_grads(&coarse, &fine, bar);
  finish(&coarse);
  finish(&fine);
}

static void test_f32(void)
{
  check_type(RT_F32, 3e-5);
}

/** bf16 has 2^-8 of rounding at each of some thirty places between a weight and
 *  the loss. */
static void test_bf16(void)
{
  check_type(RT_BF16, 0.08);
}

static void check_bits(const side *a, rt_view x, const side *b, rt_view y)
{
  double *p = fetch(a, x), *q = fetch(b, y);
  CU_ASSERT(memcmp(p, q, rt_view_size(&x) * sizeof *p) == 0);
  free(p);
  free(q);
}

/** Deferred execution gives the same bits, so no wait is missing. */
static void check_lazy(rt_dtype type)
{
  const rt_arch arch = rich();
  setup how = ALONE;
  how.comm = MPI_COMM_WORLD;
  how.real = type;
  side now, late;
  start(&now, &arch, how);
  how.device = "check";
  start(&late, &arch, how);
  run(&now, NULL, NULL);
  run(&late, NULL, NULL);
  const rt_params *p = rt_model_params(now.m), *q = rt_model_params(late.m);
  for (int i = 0; i < p->n; i++)
    check_bits(&now, p->item[i].g, &late, q->item[i].g);
  rt_view x, y;
  RT_OKAY(rt_model_forward(now.m, &now.in, &x));
  RT_OKAY(rt_model_forward(late.m, &late.in, &y));
  check_bits(&now, x, &late, y);
  finish(&late);
  finish(&now);
}

static void test_lazy(void)
{
  check_lazy(RT_F32);
  check_lazy(RT_BF16);
}

/** What the bucket callback recorded. */
typedef struct seen {
  side *s;
  int order[8], n;
  double norm[8]; // of each bucket when it was said to be complete
} seen;

static double bucket_norm(side *s, int bucket)
{
  const rt_view g = rt_model_params(s->m)->bucket_grad[bucket];
  double *x = fetch(s, g);
  const double norm = norm_of(x, g.cols);
  free(x);
  return norm;
}

static rt_err listen(void *self, int bucket)
{
  seen *l = self;
  RT_CHECK(l->n < 8, RT_ERR_INTERNAL, "too many buckets");
  l->norm[l->n] = bucket_norm(l->s, bucket);
  l->order[l->n++] = bucket;
  return RT_OK;
}

static rt_err refuse(void *self, int bucket)
{
  (void)self;
  RT_CHECK(bucket != 2, RT_ERR_IO, "no more of this");
  return RT_OK;
}

static void test_buckets(void)
{
  const rt_arch arch = plain();
  setup how = ALONE;
  how.comm = MPI_COMM_WORLD;
  side s;
  start(&s, &arch, how);
  seen l = {.s = &s};
  run(&s, listen, &l);
  const int expected[] = {3, 2, 1, 0};
  CU_ASSERT_EQUAL_FATAL(l.n, 4);
  for (int i = 0; i < 4; i++) {
    CU_ASSERT_EQUAL(l.order[i], expected[i]);
    CU_ASSERT(l.norm[i] > 0.0);
    CU_ASSERT_EQUAL(bucket_norm(&s, l.order[i]), l.norm[i]);
  }
  run(&s, NULL, NULL); // added to: twice as much
  for (int i = 0; i < 4; i++)
    CU_ASSERT_DOUBLE_EQUAL(bucket_norm(&s, l.order[i]), 2.0 * l.norm[i],
                           1e-12 * l.norm[i]);
  rt_view h;
  RT_OKAY(rt_model_forward(s.m, &s.in, &h));
  RT_FAILS(rt_model_backward(s.m, &s.in, h, refuse, NULL), RT_ERR_IO,
           "no more of this");
  finish(&s);
}

/** Without training: the same hidden state, memory that ignores L. */
static void test_forward_only(void)
{
  rt_arch arch = rich();
  setup how = ALONE;
  how.comm = MPI_COMM_WORLD;
  side train, plain_side;
  start(&train, &arch, how);
  how.train = false;
  start(&plain_side, &arch, how);
  rt_view x, y;
  RT_OKAY(rt_model_forward(train.m, &train.in, &x));
  RT_OKAY(rt_model_forward(plain_side.m, &plain_side.in, &y));
  check_bits(&train, x, &plain_side, y);
  RT_FAILS(rt_model_backward(plain_side.m, &plain_side.in, y, NULL, NULL),
           RT_ERR_INTERNAL, "not created for training");
  const size_t two = rt_arena_bytes(rt_model_arena(plain_side.m, 1));
  CU_ASSERT(two < rt_arena_bytes(rt_model_arena(train.m, 1)));
  finish(&plain_side);
  finish(&train);
  arch.n_blocks = 9;
  start(&plain_side, &arch, how);
  CU_ASSERT_EQUAL(rt_arena_bytes(rt_model_arena(plain_side.m, 1)), two);
  finish(&plain_side);
}

/** Two passes that add to the gradients, of one model that saves and one that
 *  recomputes. */
static void check_recompute(const char *device, bool docs)
{
  rt_arch arch = rich();
  arch.n_blocks = 5;
  setup how = ALONE;
  how.comm = MPI_COMM_WORLD;
  how.real = RT_F32;
  how.device = device;
  how.docs = docs;
  side saves, computes;
  start(&saves, &arch, how);
  how.recompute = true;
  start(&computes, &arch, how);
  for (int pass = 0; pass < 2; pass++) {
    run(&saves, NULL, NULL);
    run(&computes, NULL, NULL);
  }
  const rt_params *p = rt_model_params(saves.m),
                  *q = rt_model_params(computes.m);
  for (int i = 0; i < p->n; i++)
    check_bits(&saves, p->item[i].g, &computes, q->item[i].g);
  size_t less, said;
  RT_OKAY(rt_model_recompute_saves(saves.m, &less));
  RT_OKAY(rt_model_recompute_saves(computes.m, &said));
  CU_ASSERT(less > 0 && less == said);
  CU_ASSERT_EQUAL(rt_arena_bytes(rt_model_arena(computes.m, 1)) + less,
                  rt_arena_bytes(rt_model_arena(saves.m, 1)));
  finish(&computes);
  finish(&saves);
}

static void test_recompute(void)
{
  check_recompute("cpu", true);
  check_recompute("check", false);
}

RT_TEST_MAIN("model_tp", {"tp agrees with one rank", test_split},
             {"fp32 agrees with f64", test_f32},
             {"bf16 against f64", test_bf16},
             {"a lazy queue gives the same bits", test_lazy},
             {"buckets complete in order", test_buckets},
             {"forward alone keeps nothing", test_forward_only},
             {"recomputation gives the same bits", test_recompute})
