/** \file test_kernels_real.c
 *  The small kernels of a block and of the optimizer against plain loops in
 *  double, for both types; backward against finite differences.
 *  ranks: 1 */
#include "support/tensor.h"

enum { N = 7, D = 70 }; // more columns than a thread's piece of 64

static int64_t at(int64_t r, int64_t c)
{
  return r * D + c;
}

static void test_elementwise(void)
{
  tensor_reset();
  const tensor x = tensor_random(N, D, 1), copied = tensor_output(N, D);
  const tensor added = tensor_random(N, D, 2), scaled = tensor_random(N, D, 3);
  double *x_want = tensor_want(N, D), *add_want = tensor_want(N, D);
  double *scale_want = tensor_want(N, D);
  for (int64_t r = 0; r < N; r++)
    for (int64_t c = 0; c < D; c++) {
      x_want[at(r, c)] = x.d[r * x.ld + c];
      add_want[at(r, c)] = x.d[r * x.ld + c] + added.d[r * x.ld + c];
      scale_want[at(r, c)] = 1.75 * scaled.d[r * x.ld + c];
    }
  for (size_t i = 0; i < 2; i++) {
    const rt_dtype type = tensor_types[i];
    const rt_view from = tensor_view(&x, type);
    TENSOR_RUN(type, copy, .x = from, .y = tensor_view(&copied, type));
    TENSOR_RUN(type, add, .x = from, .y = tensor_view(&added, type));
    TENSOR_RUN(type, scale, .y = tensor_view(&scaled, type), .value = 1.75);
    tensor_check(&copied, type, x_want, "copy");
    tensor_check(&added, type, add_want, "add");
    tensor_check(&scaled, type, scale_want, "scale");
  }
}

static void check_fill(int64_t rows, int64_t cols)
{
  tensor_reset();
  const tensor y = tensor_output(rows, cols);
  double *want = tensor_want(rows, cols);
  for (int64_t i = 0; i < rows * cols; i++)
    want[i] = 3.5;
  for (size_t i = 0; i < 2; i++) {
    TENSOR_RUN(tensor_types[i], fill, .y = tensor_view(&y, tensor_types[i]),
               .value = 3.5);
    tensor_check(&y, tensor_types[i], want, "fill");
  }
}

static void test_fill(void)
{
  check_fill(N, D);
  check_fill(1, 70001); // one row, shared out among threads
}

static void test_bias(void)
{
  tensor_reset();
  const tensor bias = tensor_random(1, D, 1), y = tensor_random(N, D, 2);
  const tensor dy = tensor_random(N, D, 3), dbias = tensor_random(1, D, 4);
  double *y_want = tensor_want(N, D), *d_want = tensor_want(1, D);
  for (int64_t c = 0; c < D; c++) {
    d_want[c] = dbias.d[c];
    for (int64_t r = 0; r < N; r++) {
      y_want[at(r, c)] = y.d[r * y.ld + c] + bias.d[c];
      d_want[c] += dy.d[r * dy.ld + c];
    }
  }
  for (size_t i = 0; i < 2; i++) {
    const rt_dtype type = tensor_types[i];
    TENSOR_RUN(type, bias_fwd, .bias = tensor_view(&bias, type),
               .y = tensor_view(&y, type));
    TENSOR_RUN(type, bias_bwd, .dy = tensor_view(&dy, type),
               .dbias = tensor_view(&dbias, type));
    tensor_check(&y, type, y_want, "bias_fwd");
    tensor_check(&dbias, type, d_want, "bias_bwd");
  }
}

/** Ids 10 .. 14 of a larger vocabulary; some tokens are elsewhere. */
static void test_embedding(void)
{
  tensor_reset();
  enum { V = 5, V0 = 10 };
  int32_t tok[N] = {12, 9, 14, 12, 15, 10, 12};
  const tensor w = tensor_random(V, D, 1), y = tensor_output(N, D);
  const tensor dy = tensor_random(N, D, 2), dw = tensor_random(V, D, 3);
  double *y_want = tensor_want(N, D), *dw_want = tensor_want(V, D);
  float in_order[V * D]; // adding in order of n gives exactly this in f32
  for (int64_t i = 0; i < V * D; i++) {
    dw_want[i] = dw.d[i / D * dw.ld + i % D];
    in_order[i] = dw.f[i / D * dw.ld + i % D];
  }
  for (int64_t n = 0; n < N; n++)
    for (int64_t c = 0; c < D && tok[n] >= V0 && tok[n] < V0 + V; c++) {
      const int64_t id = tok[n] - V0;
      y_want[at(n, c)] = w.d[id * w.ld + c];
      dw_want[at(id, c)] += dy.d[n * dy.ld + c];
      in_order[at(id, c)] += dy.f[n * dy.ld + c];
    }
  for (size_t i = 0; i < 2; i++) {
    const rt_dtype type = tensor_types[i];
    const rt_view ids = tensor_ints(tok, N, 1);
    TENSOR_RUN(type, embed_fwd, .tok = ids, .w = tensor_view(&w, type),
               .y = tensor_view(&y, type), .v0 = V0);
    TENSOR_RUN(type, embed_bwd, .tok = ids, .dy = tensor_view(&dy, type),
               .dw = tensor_view(&dw, type), .v0 = V0);
    tensor_check(&y, type, y_want, "embed_fwd");
    tensor_check(&dw, type, dw_want, "embed_bwd");
  }
  for (int64_t i = 0; i < V * D; i++)
    CU_ASSERT_EQUAL(dw.f[i / D * dw.ld + i % D], in_order[i]);
}

typedef struct norm {
  tensor x, w, y, rstd, dy;
  double eps;
} norm;

static norm make_norm(void)
{
  tensor_reset();
  return (norm){.x = tensor_random(N, D, 1),
                .w = tensor_random(1, D, 2),
                .y = tensor_output(N, D),
                .rstd = tensor_output(N, 1),
                .dy = tensor_random(N, D, 3),
                .eps = 0.1}; // large enough to be seen
}

static void norm_forward(const norm *s, rt_dtype type)
{
  TENSOR_RUN(type, rmsnorm_fwd, .x = tensor_view(&s->x, type),
             .w = tensor_view(&s->w, type), .y = tensor_view(&s->y, type),
             .rstd = tensor_view(&s->rstd, type), .eps = s->eps);
}

static void norm_backward(const norm *s, rt_dtype type, const tensor *dx,
                          const tensor *dw)
{
  TENSOR_RUN(type, rmsnorm_bwd, .x = tensor_view(&s->x, type),
             .w = tensor_view(&s->w, type), .rstd = tensor_view(&s->rstd, type),
             .dy = tensor_view(&s->dy, type), .dx = tensor_view(dx, type),
             .dw = tensor_view(dw, type));
}

static double norm_loss(void *user)
{
  const norm *s = user;
  norm_forward(s, RT_F64);
  return tensor_dot(&s->y, &s->dy);
}

static void test_rmsnorm_forward(void)
{
  const norm s = make_norm();
  double *y = tensor_want(N, D), *rstd = tensor_want(N, 1);
  for (int64_t r = 0; r < N; r++) {
    const double *x = s.x.d + r * s.x.ld;
    double sum = 0.0;
    for (int64_t c = 0; c < D; c++)
      sum += x[c] * x[c];
    rstd[r] = 1.0 / sqrt(sum / D + s.eps);
    for (int64_t c = 0; c < D; c++)
      y[at(r, c)] = x[c] * rstd[r] * s.w.d[c];
  }
  for (size_t i = 0; i < 2; i++) {
    norm_forward(&s, tensor_types[i]);
    tensor_check(&s.y, tensor_types[i], y, "rmsnorm y");
    tensor_check(&s.rstd, tensor_types[i], rstd, "rmsnorm rstd");
  }
}

/** dx and dw are added to; f32 agrees with f64. */
static void test_rmsnorm_backward(void)
{
  norm s = make_norm();
  const tensor dx = tensor_random(N, D, 4), dw = tensor_random(1, D, 5);
  double *dx_want = tensor_differences(&s.x, norm_loss, &s);
  double *dw_want = tensor_differences(&s.w, norm_loss, &s);
  for (int64_t i = 0; i < N * D; i++)
    dx_want[i] += dx.d[i / D * dx.ld + i % D];
  for (int64_t c = 0; c < D; c++)
    dw_want[c] += dw.d[c];
  for (size_t i = 0; i < 2; i++) {
    norm_forward(&s, tensor_types[i]);
    norm_backward(&s, tensor_types[i], &dx, &dw);
  }
  tensor_check_gradient(&dx, dx_want, "rmsnorm dx");
  tensor_check_gradient(&dw, dw_want, "rmsnorm dw");
  for (int64_t i = 0; i < N * D; i++)
    dx_want[i] = dx.d[i / D * dx.ld + i % D];
  tensor_check(&dx, RT_F32, dx_want, "rmsnorm dx");
  tensor_check(&dw, RT_F32, dw.d, "rmsnorm dw");
}

/** Pairs (i, i + hd/2) turn by the angle of the position; -1 turns back. */
static void test_rope(void)
{
  tensor_reset();
  enum { HEADS = 3, HD = 10, HALF = HD / 2, POSITIONS = 9, WIDTH = HEADS * HD };
  int32_t pos[N] = {0, 1, 2, 8, 0, 5, 3};
  tensor table = tensor_random(POSITIONS, HD, 1);
  for (int64_t p = 0; p < POSITIONS; p++)
    for (int64_t i = 0; i < HALF; i++) {
      const double angle = (double)p * pow(100.0, -(double)i / HALF);
      tensor_set(&table, p, i, cos(angle));
      tensor_set(&table, p, HALF + i, sin(angle));
    }
  const tensor x = tensor_random(N, WIDTH, 2);
  double *want = tensor_want(N, WIDTH), *before = tensor_want(N, WIDTH);
  for (int64_t n = 0; n < N; n++)
    for (int64_t h = 0; h < HEADS; h++)
      for (int64_t i = 0; i < HALF; i++) {
        const int64_t u = h * HD + i, v = u + HALF;
        const double *row = x.d + n * x.ld, *turn = table.d + pos[n] * table.ld;
        want[n * WIDTH + u] = row[u] * turn[i] - row[v] * turn[HALF + i];
        want[n * WIDTH + v] = row[v] * turn[i] + row[u] * turn[HALF + i];
        before[n * WIDTH + u] = row[u];
        before[n * WIDTH + v] = row[v];
      }
  for (size_t i = 0; i < 2; i++)
    for (int direction = 1; direction >= -1; direction -= 2) {
      const rt_dtype type = tensor_types[i];
      TENSOR_RUN(type, rope, .pos = tensor_ints(pos, N, 1),
                 .table = tensor_view(&table, type), .x = tensor_view(&x, type),
                 .head_dim = HD, .direction = direction);
      // the table is rounded to f32, so that there and back is only 1e-7
      const double error =
          tensor_error(&x, type, direction > 0 ? want : before);
      CU_ASSERT(error < (direction > 0 ? tensor_tolerance(type) : 1e-6));
    }
}

typedef struct glu {
  tensor gate, up, y, dy;
} glu;

/** Gates from -150 to 150 too, where an exponential would overflow. */
static glu make_glu(void)
{
  tensor_reset();
  glu s = {.gate = tensor_random(N, D, 1),
           .up = tensor_random(N, D, 2),
           .y = tensor_output(N, D),
           .dy = tensor_random(N, D, 3)};
  for (int64_t c = 0; c < D; c++)
    tensor_set(&s.gate, 0, c, 4.0 * (double)(c - D / 2));
  return s;
}

static void glu_forward(const glu *s, rt_dtype type, const tensor *y)
{
  TENSOR_RUN(type, swiglu_fwd, .gate = tensor_view(&s->gate, type),
             .up = tensor_view(&s->up, type), .y = tensor_view(y, type));
}

static void glu_backward(const glu *s, rt_dtype type, const tensor *d_gate,
                         const tensor *d_up)
{
  TENSOR_RUN(type, swiglu_bwd, .gate = tensor_view(&s->gate, type),
             .up = tensor_view(&s->up, type), .dy = tensor_view(&s->dy, type),
             .d_gate = tensor_view(d_gate, type),
             .d_up = tensor_view(d_up, type));
}

static double glu_loss(void *user)
{
  const glu *s = user;
  glu_forward(s, RT_F64, &s->y);
  return tensor_dot(&s->y, &s->dy);
}

static void test_swiglu(void)
{
  glu s = make_glu();
  double *y = tensor_want(N, D);
  for (int64_t r = 0; r < N; r++)
    for (int64_t c = 0; c < D; c++) {
      const double gate = s.gate.d[r * s.gate.ld + c];
      y[at(r, c)] = gate / (1.0 + exp(-gate)) * s.up.d[r * s.up.ld + c];
    }
  const tensor d_gate = tensor_output(N, D), d_up = tensor_output(N, D);
  double *gate_want = tensor_differences(&s.gate, glu_loss, &s);
  double *up_want = tensor_differences(&s.up, glu_loss, &s);
  for (size_t i = 0; i < 2; i++) {
    const rt_dtype type = tensor_types[i];
    glu_forward(&s, type, &s.y);
    tensor_check(&s.y, type, y, "swiglu");
    glu_backward(&s, type, &d_gate, &d_up);
    const tensor gate = d_gate, up = d_up;
    glu_backward(&s, type, &s.gate, &s.up); // over its own inputs
    CU_ASSERT(tensor_same(&s.gate, &gate, type));
    CU_ASSERT(tensor_same(&s.up, &up, type));
  }
  tensor_check_gradient(&d_gate, gate_want, "swiglu d_gate");
  tensor_check_gradient(&d_up, up_want, "swiglu d_up");
  CU_ASSERT(tensor_error(&d_gate, RT_F32, gate_want) < 2e-6);
  CU_ASSERT(tensor_error(&d_up, RT_F32, up_want) < 2e-6);
}

/** y may be gate's memory. */
static void test_swiglu_in_place(void)
{
  const glu s = make_glu();
  for (size_t i = 0; i < 2; i++) {
    glu_forward(&s, tensor_types[i], &s.y);
    glu_forward(&s, tensor_types[i], &s.gate);
    CU_ASSERT(tensor_same(&s.y, &s.gate, tensor_types[i]));
  }
}

/** Two tensors, the first of them in segments, and a replica that does not
 *  count: any number of threads sums alike. */
static void test_sumsq(void)
{
  tensor_reset();
  enum { SIZE = 200003, REST = 1003 };
  const tensor x = tensor_random(1, SIZE + REST, 1);
  k_segment s[] = {{.g = 0, .n = 131072},
                   {.g = 131072, .n = SIZE - 131072},
                   {.g = SIZE, .n = REST - 3, .sum = -1},
                   {.g = SIZE + REST - 3, .n = 3, .sum = 2}};
  double want = 0.0;
  for (int64_t i = 0; i < SIZE + REST; i++)
    want += i < SIZE || i >= SIZE + REST - 3 ? x.d[i] * x.d[i] : 0.0;
  for (size_t i = 0; i < 2; i++) {
    double sum[3];
    for (int t = 0; t < 3; t++)
      tensor_run_on(
          t + 1, K_sumsq, tensor_types[i],
          &(k_sumsq_args){.x = tensor_view(&x, tensor_types[i]),
                          .segments = tensor_f64(&s[0].p, 4, K_N_SEGMENT),
                          .out = tensor_f64(&sum[t], 1, 1)});
    CU_ASSERT_DOUBLE_EQUAL(sum[0], want, 1e-13 * want);
    CU_ASSERT(sum[0] == sum[1] && sum[1] == sum[2]);
  }
}

/** f32 against torch's formula in double, in two segments with a gap between
 *  them, of which one decays; test_kernels has f64. */
static void test_adamw_f32(void)
{
  tensor_reset();
  enum { SIZE = 1000, GAP = 600, END = 616 };
  const tensor p = tensor_random(1, SIZE, 1), g = tensor_random(1, SIZE, 2);
  const tensor m = tensor_random(1, SIZE, 3), v = tensor_random(1, SIZE, 4);
  k_segment s[] = {{.n = GAP, .weight_decay = 0.1},
                   {.p = END, .m = END, .g = END, .n = SIZE - END}};
  k_adamw_step step = {1e-2, 0.3, 0.2, 0.1, 0.0};
  double *want = tensor_want(1, SIZE);
  for (int64_t i = 0; i < SIZE; i++) {
    v.f[i] = fabsf(v.f[i]);
    const double grad = 0.3 * (double)g.f[i];
    const double mi = 0.9 * (double)m.f[i] + 0.1 * grad;
    const double vi = 0.95 * (double)v.f[i] + 0.05 * grad * grad;
    want[i] = (double)p.f[i];
    if (i < GAP || i >= END)
      want[i] = want[i] * (i < GAP ? 1.0 - 1e-3 : 1.0) -
                1e-2 * (mi / 0.2) / (sqrt(vi / 0.1) + 1e-8);
  }
  k_adamw_args a = {.p = tensor_view(&p, RT_F32),
                    .m = tensor_view(&m, RT_F32),
                    .v = tensor_view(&v, RT_F32),
                    .g = tensor_view(&g, RT_F32),
                    .segments = tensor_f64(&s[0].p, 2, K_N_SEGMENT),
                    .step = tensor_f64((double *)&step, 1, 5),
                    .beta1 = 0.9,
                    .beta2 = 0.95,
                    .eps = 1e-8};
  tensor_run_on(2, K_adamw, RT_F32, &a);
  tensor_check(&p, RT_F32, want, "adamw");
}

/** A segment outside of the views is refused, and nothing is changed. */
static void test_segment_outside(void)
{
  enum { SIZE = 20 };
  for (int k = 0; k < 4; k++) {
    tensor_reset();
    const tensor p = tensor_random(1, SIZE, 1),
                 before = tensor_random(1, SIZE, 1);
    k_segment s[] = {{.n = 10}, {.p = 10, .m = 10, .g = 10, .n = 10}};
    *(k == 0 ? &s[1].p : k == 1 ? &s[1].m : k == 2 ? &s[1].g : &s[1].n) = 11;
    k_adamw_step step = {1e-2, 1.0, 0.2, 0.1, 0.0};
    const rt_view x = tensor_view(&p, RT_F64);
    k_ctx ctx = tensor_ctx(1);
    k_table_cpu()[K_adamw].fn[K_SET_F64](
        &ctx, &(k_adamw_args){.p = x,
                              .m = x,
                              .v = x,
                              .g = x,
                              .segments = tensor_f64(&s[0].p, 2, K_N_SEGMENT),
                              .step = tensor_f64((double *)&step, 1, 5)});
    RT_FAILS(ctx.err, RT_ERR_INTERNAL, "segment 1 is outside of the views");
    for (int i = 0; i < SIZE; i++)
      CU_ASSERT_EQUAL(p.d[i], before.d[i]);
  }
}

/** A wrong type or shape is rejected by name, and no later kernel runs. */
static void test_misuse(void)
{
  tensor_reset();
  const tensor x = tensor_random(N, D, 1), y = tensor_output(N, D);
  const tensor small = tensor_output(N, D - 1);
  int32_t tok[N] = {0};
  k_ctx ctx = tensor_ctx(2);
  const k_row *table = k_table_cpu();
  table[K_add].fn[K_SET_F32](
      &ctx, &(k_add_args){tensor_view(&x, RT_F64), tensor_view(&y, RT_F32)});
  RT_FAILS(ctx.err, RT_ERR_INTERNAL, "view 0 is f64 [7, 70]");
  table[K_add].fn[K_SET_F32](
      &ctx, &(k_add_args){tensor_view(&x, RT_F32), tensor_view(&y, RT_F32)});
  CU_ASSERT(isnan(y.f[0]));
  ctx.err = RT_OK;
  table[K_add].fn[K_SET_F64](&ctx, &(k_add_args){tensor_view(&x, RT_F64),
                                                 tensor_view(&small, RT_F64)});
  RT_FAILS(ctx.err, RT_ERR_INTERNAL, "expected f64 [7, 70]");
  ctx.err = RT_OK;
  rt_view ids = tensor_ints(tok, 3, 1);
  ids.ld = 2;
  table[K_embed_fwd].fn[K_SET_F32](
      &ctx, &(k_embed_fwd_args){.tok = ids,
                                .w = tensor_view(&x, RT_F32),
                                .y = tensor_view(&y, RT_F32)});
  RT_FAILS(ctx.err, RT_ERR_INTERNAL, "without gaps");
}

RT_TEST_MAIN("kernels_real", {"copy, add, scale", test_elementwise},
             {"fill", test_fill}, {"biases", test_bias},
             {"embedding of a part of the vocabulary", test_embedding},
             {"RMSNorm forward", test_rmsnorm_forward},
             {"RMSNorm backward", test_rmsnorm_backward},
             {"rotary positions there and back", test_rope},
             {"SwiGLU and its gradient", test_swiglu},
             {"SwiGLU in place", test_swiglu_in_place},
             {"sums of squares, any threads", test_sumsq},
             {"AdamW in f32", test_adamw_f32},
             {"segments outside of the views", test_segment_outside},
             {"wrong arguments are refused", test_misuse})
