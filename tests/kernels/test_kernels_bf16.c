/** \file test_kernels_bf16.c
 *  Every kernel in bf16 against the same in f64, from the same numbers: what is
 *  kept in f32 agrees to its rounding, what is kept in bf16 was rounded once.
 *  Calls are made from the table of kernels.
 *  ranks: 1 */
#include "base/bf16.h"
#include "support/tensor.h"

#include <ctype.h>
#include <stdlib.h>

// tokens, size of a head, query and kv heads, vocabulary, entries; a free size
enum { N = 12, HD = 16, H = 4, G = 2, V = 70, K = 5, ANY = 24, MAX_VIEWS = 10 };
enum { SHARDS = 3 };

/** The arguments of any kernel. */
typedef union call {
  rt_view views[MAX_VIEWS];
  k_gemm_args gemm;
  k_fill_args fill;
  k_scale_args scale;
  k_rmsnorm_fwd_args rmsnorm_fwd;
  k_rope_args rope;
  k_attn_fwd_args attn_fwd;
  k_attn_bwd_args attn_bwd;
  k_xent_stats_args xent_stats;
  k_xent_grad_args xent_grad;
  k_dense_stats_args dense_stats;
  k_topk_args topk;
  k_merge_topk_args merge_topk;
  k_draw_numbers_args draw_numbers;
  k_merge_draws_args merge_draws;
  k_targets_args targets;
  k_argmax_args argmax;
  k_draw_args draw;
  k_loss_coef_args loss_coef;
  k_step_control_args step_control;
  k_sumsq_args sumsq;
  k_adamw_args adamw;
} call;

static int64_t size_of(k_id kernel, char letter)
{
  const int64_t wide = kernel == K_attn_fwd || kernel == K_attn_bwd ? G : H;
  switch (letter) {
  case 'N':
  case 'M':
    return N;
  case 'D':
    return H * HD;
  case 'C':
    return wide * HD;
  case 'H':
    return H;
  case 'V':
    return V;
  case 'K':
    return K;
  case 'S':
    return SHARDS;
  case 'X':
    return N * K_N_STAT;
  case 'Y':
    return N * K;
  case 'F':
  case '*':
    return ANY;
  default:
    return letter - '0';
  }
}

/** The type of a view in a set of types. */
static rt_dtype type_of(char letter, const rt_types *t)
{
  switch (tolower((unsigned char)letter)) {
  case 'i':
    return RT_I32;
  case 'd':
    return RT_F64;
  case 'f':
    return RT_F32;
  case 'p':
    return t->master;
  case 'g':
    return t->grad;
  case 's':
    return t->stat;
  case 'z':
    return t->tile;
  case 'e':
    return t->dtile;
  case 'm':
    return t->moment;
  default:
    return letter == 'w' || letter == 'W' ? t->weight : t->act;
  }
}

/** A number that bf16 holds exactly; positive where a kernel needs that. */
static double number(k_id kernel, int i_view, char letter, int64_t i)
{
  const double x = rt_rng_normal(
      3, RT_RNG_TEST, (uint64_t)(100 * (int)kernel + i_view), (uint64_t)i);
  const bool positive =
      letter == 'd' || kernel == K_adamw || (letter == 's' && kernel != K_rope);
  return (double)rt_bf16_get(
      rt_bf16_put((float)(positive ? 0.125 + fabs(x) : x)));
}

/** Ids, positions, labels: valid ones, those of a row different. */
static int32_t whole_number(k_id kernel, int64_t i)
{
  const bool zero = kernel == K_attn_fwd || kernel == K_attn_bwd;
  return zero ? 0 : (int32_t)(i * 7 % (kernel == K_rope ? ANY : V));
}

/** The view \a i of a call, with its numbers. */
static rt_view make_view(k_id kernel, int i, const char *shape,
                         const rt_types *types)
{
  const rt_dtype type = type_of(shape[0], types);
  const int64_t rows = size_of(kernel, shape[1]),
                cols = size_of(kernel, shape[2]);
  const rt_view v = rt_view_of(
      tensor_memory((size_t)(rows * cols) * sizeof(double)), type, rows, cols);
  for (int64_t k = 0; k < rows * cols; k++) {
    const double x = number(kernel, i, shape[0], k);
    if (type == RT_I32)
      ((int32_t *)v.data)[k] = whole_number(kernel, k);
    else
      rt_dtype_convert((char *)v.data + (size_t)k * rt_dtype_size(type), type,
                       &x, RT_F64, 1);
  }
  return v;
}

static void set_attn_fwd(k_attn_fwd_args *a)
{
  a->batch = 2;
  a->t_q = a->t_k = N / 2;
  a->n_heads = H;
  a->n_kv_heads = G;
  a->head_dim = HD;
  a->scale = 0.25;
}

static void set_attn_bwd(k_attn_bwd_args *a)
{
  a->batch = 2;
  a->t_q = a->t_k = N / 2;
  a->n_heads = H;
  a->n_kv_heads = G;
  a->head_dim = HD;
  a->scale = 0.25;
}

/** N segments of one element or more, together all of a view. */
static void set_segments(k_segment *s)
{
  for (int i = 0; i < N; i++) {
    const double at = i, n = i < N - 1 ? 1 : ANY - i;
    s[i] = (k_segment){at, at, at, at, n, 0.1, i};
  }
}

static void set_adamw(k_adamw_args *a)
{
  static const k_adamw_step step = {0.01, 0.5, 0.3, 0.2, 0.0};
  set_segments(a->segments.data);
  memcpy(a->step.data, &step, sizeof step);
  a->beta1 = 0.9;
  a->beta2 = 0.95;
  a->eps = 1e-8;
}

/** The same for kernels that make entries and targets. */
static void set_entries(k_id kernel, call *c)
{
  switch (kernel) {
  case K_topk:
    c->topk.v_true = V - 3;
    c->topk.spread = true;
    break;
  case K_merge_topk:
    c->merge_topk.rule = (rt_truncation){.top_p = 1.0, .top_k = K};
    break;
  case K_draw:
    for (int i = 0; i < N * K; i++) // ascending in each row
      ((double *)c->draw.u.data)[i] = 0.05 * (1 + i % K);
    c->draw.v_true = V - 3;
    break;
  case K_targets:
    c->targets.tau = 1.3;
    for (int r = 0; r < N; r++)
      ((int32_t *)c->targets.count.data)[r] = r % (K + 1);
    break;
  default:
    break;
  }
}

/** What the arguments have behind the views. */
static void set_rest(k_id kernel, call *c)
{
  switch (kernel) {
  case K_gemm:
    c->gemm.alpha = 0.5;
    c->gemm.beta = 1.0;
    break;
  case K_fill:
    c->fill.value = 0.3;
    break;
  case K_scale:
    c->scale.value = 1.7;
    break;
  case K_rmsnorm_fwd:
    c->rmsnorm_fwd.eps = 1e-5;
    break;
  case K_rope:
    c->rope.head_dim = ANY;
    c->rope.direction = 1;
    break;
  case K_attn_fwd:
    set_attn_fwd(&c->attn_fwd);
    break;
  case K_attn_bwd:
    set_attn_bwd(&c->attn_bwd);
    break;
  case K_xent_stats:
  case K_xent_grad: // the counts are views 2
    for (int r = 0; r < N; r++)
      ((int32_t *)c->views[2].data)[r] = r % (K + 1);
    if (kernel == K_xent_stats)
      c->xent_stats.v_true = V - 3;
    break;
  case K_dense_stats:
    c->dense_stats.v_true = V - 3;
    c->dense_stats.tau = 1.3;
    c->dense_stats.kl = true;
    break;
  case K_loss_coef:
    c->loss_coef.alpha = 0.4;
    break;
  case K_argmax:
    c->argmax.v_true = V - 3;
    break;
  case K_sumsq:
    set_segments(c->sumsq.segments.data);
    break;
  case K_adamw:
    set_adamw(&c->adamw);
    break;
  default:
    set_entries(kernel, c);
  }
}

/** The same call for any set of types. */
static void make_call(k_id kernel, const rt_types *types, call *c)
{
  const char *shape = k_table_cpu()[kernel].shapes;
  *c = (call){0};
  for (int i = 0; shape != NULL; i++) {
    c->views[i] = make_view(kernel, i, shape, types);
    shape = shape[3] == '\0' ? NULL : shape + 4;
  }
  set_rest(kernel, c);
}

static double element(const rt_view *v, int64_t i)
{
  double x = 0.0;
  if (v->dtype == RT_I32)
    return (double)((const int32_t *)v->data)[i];
  rt_dtype_convert(&x, RT_F64,
                   (const char *)v->data + (size_t)i * rt_dtype_size(v->dtype),
                   v->dtype, 1);
  return x;
}

/** Is \a got the exact result \a want in the type of its role? */
static void compare(const char *name, int i_view, const rt_view *got,
                    const rt_view *want)
{
  const int64_t n = want->rows * want->cols;
  double scale = 0.0, worst = 0.0;
  for (int64_t i = 0; i < n; i++)
    scale = fmax(scale, fabs(element(want, i)));
  for (int64_t i = 0; i < n; i++) {
    const double w = element(want, i), error = fabs(element(got, i) - w);
    const double rounded =
        got->dtype == RT_BF16 ? 0x1p-8 * 1.001 * fabs(w) : 0.0;
    const double allowed =
        rounded + (got->dtype == RT_I32 ? 0.0 : 4e-6 * scale);
    worst = fmax(worst, error - allowed);
    CU_ASSERT(error <= allowed);
  }
  if (!(worst <= 0.0))
    fprintf(stderr, "%s, view %d: wrong by %g of %g\n", name, i_view, worst,
            scale);
}

static void check_kernel(k_id kernel)
{
  const k_row *const row = &k_table_cpu()[kernel];
  const rt_types exact = rt_types_of(RT_F64), low = rt_types_of(RT_BF16);
  call want, got;
  tensor_reset();
  make_call(kernel, &exact, &want);
  make_call(kernel, &low, &got);
  tensor_run_on(2, kernel, RT_F64, &want);
  tensor_run_on(2, kernel, RT_BF16, &got);
  for (int i = 0; row->modes[i] != '\0'; i++)
    if (row->modes[i] != 'i' && !(kernel == K_xent_grad && i == 0))
      compare(row->name, i, &got.views[i], &want.views[i]);
}

static void test_all(void)
{
  for (int kernel = 0; kernel < K_COUNT; kernel++)
    check_kernel((k_id)kernel);
}

/** dz of a token that the student has learnt: it is small beside the softmax
 *  and the target whose difference it is, and still rounded only once. */
static void test_gradient_in_place(void)
{
  tensor_reset();
  float *const z = tensor_memory(2 * V * sizeof *z);
  double *const want = tensor_want(2, V), stats[2 * K_N_STAT];
  int32_t label[2] = {3, 8};
  k_coef coef[2];
  for (int i = 0; i < 2 * V; i++)
    z[i] = i % V == label[i / V] ? 9.0F : 0.01F * (float)(i % 7);
  const k_xent_stats_args a = {.z = rt_view_of(z, RT_F32, 2, V),
                               .label = tensor_ints(label, 2, 1),
                               .stats = tensor_f64(stats, 2, K_N_STAT),
                               .v_true = V};
  for (int r = 0; r < 2; r++) {
    double sum = 0.0;
    for (int v = 0; v < V; v++)
      sum += exp((double)z[r * V + v]);
    coef[r] = (k_coef){.lse = log(sum), .a = 0.7, .c_label = 0.7};
    for (int v = 0; v < V; v++)
      want[r * V + v] =
          0.7 * (exp((double)z[r * V + v]) / sum - (v == label[r] ? 1.0 : 0.0));
  }
  const rt_view dz = {z, RT_BF16, 2, V, 2 * V};
  tensor_run_on(2, K_xent_stats, RT_BF16, &a);
  TENSOR_RUN(RT_BF16, xent_grad, .z = a.z, .label = a.label, .stats = a.stats,
             .coef = tensor_f64(&coef[0].lse, 2, K_N_COEF), .dz = dz);
  for (int r = 0; r < 2; r++)
    for (int v = 0; v < V; v++) {
      const double w = want[r * V + v];
      const double got =
          (double)rt_bf16_get(((const rt_bf16 *)z)[r * 2 * V + v]);
      CU_ASSERT_DOUBLE_EQUAL(got, w, 0x1p-8 * 1.001 * fabs(w) + 2e-7);
    }
}

/** Rounding to nearest even, at every boundary. */
static void test_rounding(void)
{
  const struct {
    uint32_t bits;
    uint16_t want;
  } cases[] = {{0x3f800000, 0x3f80}, {0x3f808000, 0x3f80}, {0x3f808001, 0x3f81},
               {0x3f818000, 0x3f82}, {0xbf818000, 0xbf82}, {0x7f7fffff, 0x7f80},
               {0x7f800000, 0x7f80}, {0xff800000, 0xff80}, {0x7f800001, 0x7fc0},
               {0x7fffffff, 0x7fff}, {0x00008000, 0x0000}, {0x00018000, 0x0002},
               {0x80000000, 0x8000}};
  for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
    float x;
    memcpy(&x, &cases[i].bits, sizeof x);
    CU_ASSERT_EQUAL(rt_bf16_put(x), cases[i].want);
  }
  for (uint32_t b = 0; b < 0x10000; b++) {
    const bool nan = (b & 0x7fff) > 0x7f80;
    const rt_bf16 back = rt_bf16_put(rt_bf16_get((rt_bf16)b));
    CU_ASSERT(nan ? (back & 0x7fff) > 0x7f80 : back == b);
  }
}

/** Mixed types that no set has are refused by name. */
static void test_misfits(void)
{
  tensor_reset();
  float x[4] = {0};
  rt_bf16 y[4] = {0};
  k_ctx ctx = tensor_ctx(1);
  k_table_cpu()[K_add].fn[K_SET_BF16](
      &ctx,
      &(k_add_args){rt_view_of(x, RT_F32, 1, 4), rt_view_of(y, RT_BF16, 1, 4)});
  RT_FAILS(ctx.err, RT_ERR_INTERNAL, "view 0 is f32 [1, 4]");
  ctx.err = RT_OK;
  k_table_cpu()[K_gemm].fn[K_SET_BF16](
      &ctx, &(k_gemm_args){.a = rt_view_of(x, RT_F32, 2, 2),
                           .b = rt_view_of(y, RT_BF16, 2, 2),
                           .c = rt_view_of(x, RT_F32, 2, 2),
                           .alpha = 1.0});
  RT_FAILS(ctx.err, RT_ERR_INTERNAL, "a f32 [2, 2] b bf16 [2, 2] c f32 [2, 2]");
}

RT_TEST_MAIN("kernels_bf16", {"every kernel, rounded once", test_all},
             {"small gradients, in place", test_gradient_in_place},
             {"rounding", test_rounding}, {"mixed types", test_misfits})
