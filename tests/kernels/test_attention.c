/** \file test_attention.c
 *  Attention against plain loops in double, and its backward against finite
 *  differences.
 *  ranks: 1 */
#include "base/bf16.h"
#include "kernels/cpu/gemm.h"
#include "support/tensor.h"

/** One problem: \a k_attn_fwd_args and backward of a type point into it. */
typedef struct scene {
  int64_t batch, t_q, t_k, heads, kv_heads, hd;
  double scale;
  tensor q, k, v, o, lse, d_o, dq, dk, dv;
  int32_t *doc_start; // [batch * t_q]
} scene;

static scene make(int64_t batch, int64_t t_q, int64_t t_k, int64_t heads,
                  int64_t kv_heads, int64_t hd, bool documents)
{
  tensor_reset();
  const int64_t n_q = batch * t_q, n_k = batch * t_k;
  scene s = {.batch = batch,
             .t_q = t_q,
             .t_k = t_k,
             .heads = heads,
             .kv_heads = kv_heads,
             .hd = hd,
             .scale = 1.3 / sqrt((double)hd),
             .q = tensor_random(n_q, heads * hd, 1),
             .k = tensor_random(n_k, kv_heads * hd, 2),
             .v = tensor_random(n_k, kv_heads * hd, 3),
             .o = tensor_output(n_q, heads * hd),
             .lse = tensor_output(n_q, heads),
             .d_o = tensor_random(n_q, heads * hd, 4),
             .dq = tensor_output(n_q, heads * hd),
             .dk = tensor_output(n_k, kv_heads * hd),
             .dv = tensor_output(n_k, kv_heads * hd),
             .doc_start = tensor_memory((size_t)n_q * sizeof(int32_t))};
  for (int64_t i = 0; i < n_q; i++) {
    const int64_t self = i % t_q + t_k - t_q;
    // documents of 37 keys, shifted from sequence to sequence
    const int64_t start = self - (self + 11 * (i / t_q)) % 37;
    s.doc_start[i] = documents && start > 0 ? (int32_t)start : 0;
  }
  return s;
}

static void forward(const scene *s, rt_dtype type, int n_threads)
{
  tensor_run_on(n_threads, K_attn_fwd, type,
                &(k_attn_fwd_args){.q = tensor_view(&s->q, type),
                                   .k = tensor_view(&s->k, type),
                                   .v = tensor_view(&s->v, type),
                                   .doc_start = tensor_ints(
                                       s->doc_start, s->batch * s->t_q, 1),
                                   .o = tensor_view(&s->o, type),
                                   .lse = tensor_view(&s->lse, type),
                                   .batch = s->batch,
                                   .t_q = s->t_q,
                                   .t_k = s->t_k,
                                   .n_heads = s->heads,
                                   .n_kv_heads = s->kv_heads,
                                   .head_dim = s->hd,
                                   .scale = s->scale});
}

static void backward(const scene *s, rt_dtype type, int n_threads)
{
  tensor_run_on(n_threads, K_attn_bwd, type,
                &(k_attn_bwd_args){.q = tensor_view(&s->q, type),
                                   .k = tensor_view(&s->k, type),
                                   .v = tensor_view(&s->v, type),
                                   .doc_start = tensor_ints(
                                       s->doc_start, s->batch * s->t_q, 1),
                                   .o = tensor_view(&s->o, type),
                                   .lse = tensor_view(&s->lse, type),
                                   .d_o = tensor_view(&s->d_o, type),
                                   .dq = tensor_view(&s->dq, type),
                                   .dk = tensor_view(&s->dk, type),
                                   .dv = tensor_view(&s->dv, type),
                                   .batch = s->batch,
                                   .t_q = s->t_q,
                                   .t_k = s->t_k,
                                   .n_heads = s->heads,
                                   .n_kv_heads = s->kv_heads,
                                   .head_dim = s->hd,
                                   .scale = s->scale});
}

static double dot(const double *x, const double *y, int64_t n)
{
  double sum = 0.0;
  for (int64_t i = 0; i < n; i++)
    sum += x[i] * y[i];
  return sum;
}

/** What one query of one head sees. */
typedef struct sight {
  const double *q, *d_o; // [hd]
  int64_t row, from, to; // keys [from, to) of the sequence
  int64_t key0, h, g;    // first row of the sequence in k and v; heads
} sight;

static sight look(const scene *s, int64_t row, int64_t h)
{
  const int64_t b = row / s->t_q;
  return (sight){.q = s->q.d + row * s->q.ld + h * s->hd,
                 .d_o = s->d_o.d + row * s->d_o.ld + h * s->hd,
                 .row = row,
                 .from = s->doc_start[row],
                 .to = row % s->t_q + s->t_k - s->t_q + 1,
                 .key0 = b * s->t_k,
                 .h = h,
                 .g = h / (s->heads / s->kv_heads)};
}

static const double *key_of(const scene *s, const tensor *x, const sight *at,
                            int64_t j)
{
  return x->d + (at->key0 + j) * x->ld + at->g * s->hd;
}

/** Probabilities p[from..to) of one query; returns the log-sum-exp. */
static double probabilities(const scene *s, const sight *at, double *p)
{
  double top = -INFINITY, sum = 0.0;
  for (int64_t j = at->from; j < at->to; j++) {
    p[j] = s->scale * dot(at->q, key_of(s, &s->k, at, j), s->hd);
    top = fmax(top, p[j]);
  }
  for (int64_t j = at->from; j < at->to; j++)
    sum += p[j] = exp(p[j] - top);
  for (int64_t j = at->from; j < at->to; j++)
    p[j] /= sum;
  return top + log(sum);
}

static void check_forward(const scene *s)
{
  const int64_t n = s->batch * s->t_q, width = s->heads * s->hd;
  double *o = tensor_want(n, width), *lse = tensor_want(n, s->heads);
  double *p = tensor_want(1, s->t_k);
  for (int64_t row = 0; row < n; row++)
    for (int64_t h = 0; h < s->heads; h++) {
      const sight at = look(s, row, h);
      lse[row * s->heads + h] = probabilities(s, &at, p);
      for (int64_t j = at.from; j < at.to; j++)
        for (int64_t c = 0; c < s->hd; c++)
          o[row * width + h * s->hd + c] += p[j] * key_of(s, &s->v, &at, j)[c];
    }
  for (size_t i = 0; i < 2; i++) {
    forward(s, tensor_types[i], 2);
    tensor_check(&s->o, tensor_types[i], o, "o");
    tensor_check(&s->lse, tensor_types[i], lse, "log-sum-exp");
  }
}

/** ds_j = p_j (dp_j - sum_l p_l dp_l), dp_j = do . v_j. */
static void check_backward(const scene *s)
{
  const int64_t n = s->batch * s->t_q, width = s->heads * s->hd;
  const int64_t n_k = s->batch * s->t_k, kv_width = s->kv_heads * s->hd;
  double *dq = tensor_want(n, width), *dk = tensor_want(n_k, kv_width);
  double *dv = tensor_want(n_k, kv_width);
  double *p = tensor_want(1, s->t_k), *dp = tensor_want(1, s->t_k);
  for (int64_t row = 0; row < n; row++)
    for (int64_t h = 0; h < s->heads; h++) {
      const sight at = look(s, row, h);
      probabilities(s, &at, p);
      for (int64_t j = at.from; j < at.to; j++)
        dp[j] = dot(at.d_o, key_of(s, &s->v, &at, j), s->hd);
      const double mean = dot(p + at.from, dp + at.from, at.to - at.from);
      for (int64_t j = at.from; j < at.to; j++) {
        const double ds = s->scale * p[j] * (dp[j] - mean);
        const int64_t kv = (at.key0 + j) * kv_width + at.g * s->hd;
        for (int64_t c = 0; c < s->hd; c++) {
          dq[row * width + h * s->hd + c] += ds * key_of(s, &s->k, &at, j)[c];
          dk[kv + c] += ds * at.q[c];
          dv[kv + c] += p[j] * at.d_o[c];
        }
      }
    }
  for (size_t i = 0; i < 2; i++) {
    forward(s, tensor_types[i], 2);
    backward(s, tensor_types[i], 2);
    tensor_check(&s->dq, tensor_types[i], dq, "dq");
    tensor_check(&s->dk, tensor_types[i], dk, "dk");
    tensor_check(&s->dv, tensor_types[i], dv, "dv");
  }
}

static void test_plain(void)
{
  for (int documents = 0; documents < 2; documents++) {
    // batch, queries, keys, heads, kv heads, width of a head
    const scene small = make(2, 7, 7, 4, 2, 6, documents);
    check_forward(&small);
    check_backward(&small);
    const scene tiles = make(2, 150, 150, 4, 2, 16, documents);
    check_forward(&tiles);
    check_backward(&tiles);
    const scene narrow = make(1, 300, 300, 3, 1, 5, documents);
    check_forward(&narrow);
    check_backward(&narrow);
  }
}

/** Queries at the end of a longer row of keys, as in decoding. */
static void test_cache(void)
{
  for (int documents = 0; documents < 2; documents++) {
    const scene one = make(3, 1, 290, 4, 4, 8, documents);
    check_forward(&one);
    const scene some = make(2, 70, 200, 4, 1, 8, documents);
    check_forward(&some);
    check_backward(&some);
  }
}

static double loss(void *user)
{
  const scene *s = user;
  forward(s, RT_F64, 1);
  return tensor_dot(&s->o, &s->d_o);
}

static void test_differences(void)
{
  scene s = make(2, 6, 8, 4, 2, 4, true);
  forward(&s, RT_F64, 1);
  backward(&s, RT_F64, 1);
  tensor_check_gradient(&s.dq, tensor_differences(&s.q, loss, &s), "dq");
  tensor_check_gradient(&s.dk, tensor_differences(&s.k, loss, &s), "dk");
  tensor_check_gradient(&s.dv, tensor_differences(&s.v, loss, &s), "dv");
}

/** Large scores do not overflow; a NaN in a query comes out. */
static void test_extremes(void)
{
  scene s = make(1, 70, 70, 2, 2, 4, false);
  s.scale = 400.0;
  check_forward(&s);
  tensor_set(&s.q, 69, 1, NAN);
  forward(&s, RT_F32, 2);
  CU_ASSERT(isnan(s.o.f[69 * s.o.ld]));
  CU_ASSERT(isfinite(s.o.f[68 * s.o.ld]));
}

/** One thread and \a n_threads of them, which share (sequence, kv head)s if
 *  their number does not divide that of these. */
static void check_threads(scene a, int n_threads)
{
  const int64_t n_q = a.batch * a.t_q, n_k = a.batch * a.t_k;
  scene b = a;
  b.o = tensor_output(n_q, a.heads * a.hd);
  b.dq = tensor_output(n_q, a.heads * a.hd);
  b.dk = tensor_output(n_k, a.kv_heads * a.hd);
  b.dv = tensor_output(n_k, a.kv_heads * a.hd);
  for (size_t i = 0; i < 2; i++) {
    const rt_dtype type = tensor_types[i];
    forward(&a, type, 1);
    backward(&a, type, 1);
    forward(&b, type, n_threads);
    backward(&b, type, n_threads);
    CU_ASSERT(tensor_same(&a.o, &b.o, type));
    CU_ASSERT(tensor_same(&a.dq, &b.dq, type));
    CU_ASSERT(tensor_same(&a.dk, &b.dk, type));
    CU_ASSERT(tensor_same(&a.dv, &b.dv, type));
  }
}

static void test_threads(void)
{
  for (int documents = 0; documents < 2; documents++) {
    check_threads(make(2, 200, 200, 4, 2, 8, documents), 4); // all whole
    check_threads(make(2, 200, 200, 4, 2, 8, documents), 3); // one is shared
    check_threads(make(1, 500, 500, 4, 1, 8, documents), 2);
    check_threads(make(1, 500, 500, 6, 2, 8, documents), 5);
    check_threads(make(1, 100, 450, 4, 2, 8, documents), 3);
  }
}

/** The numbers of a tensor, or memory for them, in bf16. */
static rt_view low_of(const tensor *t)
{
  const int64_t n = t->rows * t->ld;
  rt_view v = rt_view_of(tensor_memory((size_t)n * sizeof(rt_bf16)), RT_BF16,
                         t->rows, t->cols);
  v.ld = t->ld;
  for (int64_t i = 0; i < n; i++)
    ((rt_bf16 *)v.data)[i] = rt_bf16_put(t->f[i]);
  return v;
}

/** Round the numbers of a tensor, so that bf16 has the same. */
static void round_off(tensor *t)
{
  for (int64_t r = 0; r < t->rows; r++)
    for (int64_t c = 0; c < t->cols; c++)
      tensor_set(t, r, c,
                 (double)rt_bf16_get(rt_bf16_put(t->f[r * t->ld + c])));
}

/** The outputs of both passes in bf16. */
typedef struct low_outputs {
  rt_view o, lse, dq, dk, dv;
} low_outputs;

static low_outputs run_low(const scene *s, void *backend, int n_threads)
{
  const low_outputs out = {low_of(&s->o), tensor_view(&s->lse, RT_F32),
                           low_of(&s->dq), low_of(&s->dk), low_of(&s->dv)};
  const k_attn_bwd_args b = {
      .q = low_of(&s->q),
      .k = low_of(&s->k),
      .v = low_of(&s->v),
      .doc_start = tensor_ints(s->doc_start, s->batch * s->t_q, 1),
      .o = out.o,
      .lse = out.lse,
      .d_o = low_of(&s->d_o),
      .dq = out.dq,
      .dk = out.dk,
      .dv = out.dv,
      .batch = s->batch,
      .t_q = s->t_q,
      .t_k = s->t_k,
      .n_heads = s->heads,
      .n_kv_heads = s->kv_heads,
      .head_dim = s->hd,
      .scale = s->scale};
  const k_attn_fwd_args f = {
      b.q,   b.k,   b.v,       b.doc_start,  b.o,        b.lse,  b.batch,
      b.t_q, b.t_k, b.n_heads, b.n_kv_heads, b.head_dim, b.scale};
  k_ctx ctx = tensor_ctx(n_threads);
  ctx.backend = backend;
  memset(ctx.workspace, 0xff, ctx.workspace_bytes); // NaN
  CU_ASSERT_FATAL(k_workspace_cpu(&ctx, K_attn_fwd, &f) <= ctx.workspace_bytes);
  CU_ASSERT_FATAL(k_workspace_cpu(&ctx, K_attn_bwd, &b) <= ctx.workspace_bytes);
  k_table_cpu()[K_attn_fwd].fn[K_SET_BF16](&ctx, &f);
  k_table_cpu()[K_attn_bwd].fn[K_SET_BF16](&ctx, &b);
  RT_OKAY(ctx.err);
  return out;
}

/** Is it right to the rounding of bf16, and nothing written beside it? */
static void check_low(const rt_view *got, const tensor *want, const char *what)
{
  double difference = 0.0, norm = 0.0;
  for (int64_t r = 0; r < got->rows; r++)
    for (int64_t c = 0; c < got->ld; c++) {
      const rt_bf16 x = ((const rt_bf16 *)got->data)[r * got->ld + c];
      const double w = want->d[r * want->ld + c];
      const double e = (double)rt_bf16_get(x) - w;
      difference += e * e;
      norm += w * w;
      CU_ASSERT(c < got->cols || e == 0.0);
    }
  const double error = sqrt(difference / norm);
  CU_ASSERT(error < 5e-3);
  if (!(error < 5e-3))
    fprintf(stderr, "%s in bf16: error %g\n", what, error);
}

static bool same_low(const rt_view *a, const rt_view *b)
{
  return memcmp(a->data, b->data,
                (size_t)(a->rows * a->ld) * sizeof(rt_bf16)) == 0;
}

static void check_scene_low(scene s, void *backend)
{
  round_off(&s.q);
  round_off(&s.k);
  round_off(&s.v);
  round_off(&s.d_o);
  forward(&s, RT_F64, 1);
  backward(&s, RT_F64, 1);
  const low_outputs one = run_low(&s, backend, 1);
  check_low(&one.o, &s.o, "o");
  check_low(&one.dq, &s.dq, "dq");
  check_low(&one.dk, &s.dk, "dk");
  check_low(&one.dv, &s.dv, "dv");
  const low_outputs three = run_low(&s, backend, 3);
  CU_ASSERT(same_low(&one.o, &three.o));
  CU_ASSERT(same_low(&one.dq, &three.dq));
  CU_ASSERT(same_low(&one.dk, &three.dk));
  CU_ASSERT(same_low(&one.dv, &three.dv));
}

/** Scores far below the largest have no probability. */
static void check_far_low(scene s, void *backend)
{
  s.scale = 1e16;
  const low_outputs got = run_low(&s, backend, 2);
  const rt_bf16 *const o = got.o.data;
  for (int64_t i = 0; i < got.o.rows * got.o.cols; i++)
    CU_ASSERT(
        isfinite(rt_bf16_get(o[i / got.o.cols * got.o.ld + i % got.o.cols])));
}

/** By panels in f32, and by what this processor has, such as AMX. */
static void test_bf16(void)
{
  void *kept = NULL;
  RT_OKAY(k_gemm_open(&kept));
  for (int i = 0; i < 4; i++) {
    void *const backend = i / 2 == 0 ? NULL : kept;
    const bool documents = i % 2 != 0;
    check_far_low(make(2, 150, 150, 4, 2, 64, documents), backend);
    check_scene_low(make(3, 7, 7, 4, 2, 6, documents), backend);
    check_scene_low(make(2, 150, 150, 4, 2, 64, documents), backend);
    check_scene_low(make(1, 200, 200, 3, 1, 100, documents), backend);
    check_scene_low(make(2, 70, 200, 4, 1, 8, documents), backend);
    check_scene_low(make(1, 1, 130, 2, 2, 32, documents), backend);
  }
  k_gemm_close(kept);
}

RT_TEST_MAIN("attention", {"plain loops", test_plain},
             {"more keys than queries", test_cache},
             {"backward against differences", test_differences},
             {"large scores and NaN", test_extremes},
             {"any number of threads, same bits", test_threads},
             {"bf16, also by AMX", test_bf16})
