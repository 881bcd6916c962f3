/** \file test_kernels_loss.c
 *  The loss kernels: gradients against finite differences of the loss that
 *  their statistics give, on one tile of the vocabulary and on two.
 *  ranks: 1 */
#include "support/tensor.h"

// rows; true vocabulary; padded; entries a row; columns of the first of 2 tiles
enum { N = 4, V = 23, PADDED = 26, K = 5, CUT = 14 };
static const double alpha = 0.3, tau = 1.6;

typedef struct loss {
  tensor z, z_t, t; // [N, PADDED] twice, [N, K]
  int32_t label[N], count[N], ids[N * K];
  double weight[N];
  int64_t cuts[3]; // tiles [cuts[i], cuts[i + 1])
  int n_tiles;
  bool dense, soft; // soft: cross-entropy in the place of KL
} loss;

static loss make_loss(bool dense, int n_tiles)
{
  tensor_reset();
  loss s = {.z = tensor_random(N, PADDED, 1),
            .z_t = tensor_random(N, PADDED, 2),
            .t = tensor_random(N, K, 3),
            .label = {3, CUT, V - 1, 0},
            .count = {K, 2, 0, K},
            .weight = {1.0, 0.25, 0.5, 2.0},
            .n_tiles = n_tiles,
            .cuts = {0, n_tiles == 2 ? CUT : PADDED, PADDED},
            .dense = dense};
  for (int64_t r = 0; r < N; r++)
    for (int64_t i = 0; i < K; i++) { // entries on both sides of the cut
      s.ids[r * K + i] = (int32_t)((r + 5 * i) % V);
      tensor_set(&s.t, r, i, 0.05 + 0.02 * (double)(r + i));
    }
  return s;
}

static rt_view tile_of(const loss *s, const tensor *x, rt_dtype type, int tile)
{
  return rt_view_cols(tensor_view(x, type), s->cuts[tile],
                      s->cuts[tile + 1] - s->cuts[tile]);
}

/** Statistics of every tile; z (and z_t) become exponentials. */
static void run_stats(loss *s, rt_dtype type, double stats[2][N * K_N_STAT])
{
  for (int i = 0; i < s->n_tiles; i++) {
    const rt_view out = tensor_f64(stats[i], N, K_N_STAT);
    if (s->dense)
      TENSOR_RUN(type, dense_stats, .z_s = tile_of(s, &s->z, type, i),
                 .z_t = tile_of(s, &s->z_t, type, i),
                 .label = tensor_ints(s->label, N, 1), .stats = out,
                 .v0 = s->cuts[i], .v_true = V, .tau = tau, .kl = !s->soft);
    else
      TENSOR_RUN(type, xent_stats, .z = tile_of(s, &s->z, type, i),
                 .label = tensor_ints(s->label, N, 1),
                 .count = tensor_ints(s->count, N, 1),
                 .ids = tensor_ints(s->ids, N, K),
                 .t = tensor_view(&s->t, type), .stats = out, .v0 = s->cuts[i],
                 .v_true = V);
  }
}

/** One row's statistics over all tiles. */
typedef struct total {
  double max, sum, label, dot, t_max, t_sum;
} total;

static total combine(const loss *s, double stats[2][N * K_N_STAT], int64_t r)
{
  total a = {.max = -INFINITY, .t_max = -INFINITY};
  for (int i = 0; i < s->n_tiles; i++) {
    a.max = fmax(a.max, stats[i][r * K_N_STAT + K_STAT_MAX]);
    a.t_max = fmax(a.t_max, stats[i][r * K_N_STAT + K_STAT_T_MAX]);
  }
  for (int i = 0; i < s->n_tiles; i++) {
    const double *x = &stats[i][r * K_N_STAT];
    const double t_scale = s->dense ? exp(x[K_STAT_T_MAX] - a.t_max) : 1.0;
    a.sum += x[K_STAT_SUM] * exp(x[K_STAT_MAX] - a.max);
    a.label += x[K_STAT_LABEL];
    a.dot += x[K_STAT_DOT] * t_scale;
    a.t_sum += x[K_STAT_T_SUM] * t_scale;
  }
  return a;
}

/** Mass of the target of a row that the KD part sees. */
static double mass(const loss *s, int64_t r)
{
  double sum = 0.0;
  for (int32_t i = 0; i < s->count[r]; i++)
    sum += s->t.d[r * s->t.ld + i];
  return s->dense ? 1.0 : sum;
}

/** Sum over rows of weight ((1 - alpha) LM + alpha KD), from statistics. */
static double value_of(const loss *s, double stats[2][N * K_N_STAT])
{
  double sum = 0.0;
  for (int64_t r = 0; r < N; r++) {
    const total a = combine(s, stats, r);
    const double lse = a.max + log(a.sum);
    const double t_lse = s->soft ? 0.0 : a.t_max + log(a.t_sum);
    const double kd =
        s->dense ? a.dot / a.t_sum - t_lse + lse : mass(s, r) * lse - a.dot;
    sum += s->weight[r] * ((1.0 - alpha) * (lse - a.label) + alpha * kd);
  }
  return sum;
}

/** The same loss by its definition, -sum (...) log q, from z in double. */
static double definition(const loss *s)
{
  double sum = 0.0;
  for (int64_t r = 0; r < N; r++) {
    const double *z = s->z.d + r * s->z.ld, *z_t = s->z_t.d + r * s->z_t.ld;
    double z_sum = 0.0, t_sum = 0.0, kd = 0.0;
    for (int64_t v = 0; v < V; v++) {
      z_sum += exp(z[v]);
      t_sum += exp(z_t[v] / tau);
    }
    for (int32_t i = 0; i < s->count[r] && !s->dense; i++) {
      const double t = s->t.d[r * s->t.ld + i];
      kd -= t > 0.0 ? t * log(exp(z[s->ids[r * K + i]]) / z_sum) : 0.0;
    }
    for (int64_t v = 0; v < V && s->dense; v++) {
      const double t = exp(z_t[v] / tau) / t_sum;
      kd += t > 0.0 ? t * log((s->soft ? 1.0 : t) / (exp(z[v]) / z_sum)) : 0.0;
    }
    sum += s->weight[r] *
           ((alpha - 1.0) * log(exp(z[s->label[r]]) / z_sum) + alpha * kd);
  }
  return sum;
}

static double definition_of(void *user)
{
  return definition(user);
}

static void set_coefficients(const loss *s, double stats[2][N * K_N_STAT],
                             k_coef *coef)
{
  for (int64_t r = 0; r < N; r++) {
    const total a = combine(s, stats, r);
    const double w = s->weight[r];
    coef[r] = (k_coef){.lse = a.max + log(a.sum),
                       .a = w * (1.0 - alpha + alpha * mass(s, r)),
                       .c_label = w * (1.0 - alpha),
                       .c_kd = w * alpha,
                       .t_lse = a.t_max + log(a.t_sum)};
  }
}

/** dz in a memory of its own, or in place of z; z is lost. */
static void run_grad(loss *s, rt_dtype type, double stats[2][N * K_N_STAT],
                     const tensor *dz)
{
  k_coef coef[N];
  set_coefficients(s, stats, coef);
  const rt_view coefs = tensor_f64(&coef[0].lse, N, K_N_COEF);
  for (int i = 0; i < s->n_tiles; i++) {
    const rt_view own = tensor_f64(stats[i], N, K_N_STAT);
    if (s->dense)
      TENSOR_RUN(type, dense_grad, .z_s = tile_of(s, &s->z, type, i),
                 .z_t = tile_of(s, &s->z_t, type, i),
                 .label = tensor_ints(s->label, N, 1), .stats = own,
                 .coef = coefs, .dz = tile_of(s, dz, type, i),
                 .v0 = s->cuts[i]);
    else
      TENSOR_RUN(type, xent_grad, .z = tile_of(s, &s->z, type, i),
                 .label = tensor_ints(s->label, N, 1),
                 .count = tensor_ints(s->count, N, 1),
                 .ids = tensor_ints(s->ids, N, K),
                 .t = tensor_view(&s->t, type), .stats = own, .coef = coefs,
                 .dz = tile_of(s, dz, type, i), .v0 = s->cuts[i]);
  }
}

/** Loss and gradient, dense or sparse, on one or two tiles; the gradient in
 *  place of the logits or not. */
static void check_loss(loss s, bool in_place)
{
  double stats[2][N * K_N_STAT];
  const double want = definition(&s);
  const tensor apart = tensor_output(N, PADDED);
  const tensor *const out = in_place ? &s.z : &apart;
  double *dz = tensor_differences(&s.z, definition_of, &s);
  for (size_t i = 0; i < 2; i++) {
    const rt_dtype type = tensor_types[i];
    run_stats(&s, type, stats);
    CU_ASSERT_DOUBLE_EQUAL(value_of(&s, stats), want,
                           want * tensor_tolerance(type));
    run_grad(&s, type, stats, out);
    for (int64_t r = 0; r < N; r++)
      for (int64_t v = V; v < PADDED; v++)
        CU_ASSERT_EQUAL(tensor_at(out, type, r, v), 0.0);
  }
  tensor_check_gradient(out, dz, s.dense ? "dense dz" : "sparse dz");
  for (int64_t i = 0; i < N * PADDED; i++)
    dz[i] = out->d[i / PADDED * out->ld + i % PADDED];
  tensor_check(out, RT_F32, dz, "dz");
}

static void test_sparse(void)
{
  check_loss(make_loss(false, 1), false);
  check_loss(make_loss(false, 2), true);
}

static void test_dense(void)
{
  check_loss(make_loss(true, 1), true);
  check_loss(make_loss(true, 2), false);
}

static void test_dense_soft(void)
{
  for (int n_tiles = 1; n_tiles <= 2; n_tiles++) {
    loss s = make_loss(true, n_tiles);
    s.soft = true;
    check_loss(s, n_tiles == 1);
  }
}

/** Logits of -inf: of the teacher, all of a tile among them, with those of the
 *  student or not; of the student, where a sparse target has 0. */
static void mask(loss *s)
{
  for (int64_t v = CUT; v < V; v++) {
    tensor_set(&s->z_t, 0, v, -INFINITY);
    if (s->dense)
      tensor_set(&s->z, 0, v, -INFINITY);
  }
  for (int64_t v = 1; v < V; v += 2)
    tensor_set(&s->z_t, 2, v, -INFINITY);
  for (int64_t i = 1; i < K && !s->dense; i++) {
    tensor_set(&s->t, 3, i, 0.0);
    if (s->ids[3 * K + i] != s->label[3])
      tensor_set(&s->z, 3, s->ids[3 * K + i], -INFINITY);
  }
}

static void test_masked(void)
{
  for (int i = 0; i < 6; i++) {
    loss s = make_loss(i < 4, 1 + i % 2);
    s.soft = i == 2 || i == 3;
    mask(&s);
    check_loss(s, i % 2 == 0);
  }
}

static void check_same(const double *a, const double *b)
{
  for (int64_t i = 0; i < N * K_N_STAT; i++)
    CU_ASSERT_EQUAL(a[i], b[i]);
}

/** Without entries: cross-entropy alone. */
static void test_no_entries(void)
{
  loss with = make_loss(false, 1);
  memset(with.count, 0, sizeof with.count);
  const tensor z = tensor_random(N, PADDED, 1);
  double stats[2][N * K_N_STAT], alone[N * K_N_STAT];
  run_stats(&with, RT_F64, stats);
  TENSOR_RUN(RT_F64, xent_stats, .z = tensor_view(&z, RT_F64),
             .label = tensor_ints(with.label, N, 1),
             .stats = tensor_f64(alone, N, K_N_STAT), .v_true = V);
  check_same(alone, stats[0]);
  CU_ASSERT(tensor_same(&z, &with.z, RT_F64));
}

/** NaN, Inf: the sum of the row says so, and no other row's. */
static void test_bad_logits(void)
{
  for (int i = 0; i < 2; i++) {
    loss s = make_loss(false, 1);
    double stats[2][N * K_N_STAT];
    tensor_set(&s.z, 1, 7, i == 0 ? NAN : INFINITY);
    for (size_t k = 0; k < 2; k++) {
      run_stats(&s, tensor_types[k], stats);
      for (int64_t r = 0; r < N; r++)
        CU_ASSERT_EQUAL(!isfinite(stats[0][r * K_N_STAT + K_STAT_SUM]), r == 1);
    }
  }
}

/** The same of a teacher's, also where the student's are masked; and of the
 *  student's where the teacher's are. */
static void test_bad_teacher(void)
{
  for (int i = 0; i < 8; i++) {
    loss s = make_loss(true, 1);
    double stats[2][N * K_N_STAT];
    const bool of_student = (i & 2) != 0;
    tensor_set(of_student ? &s.z : &s.z_t, 1, 7, (i & 1) ? NAN : INFINITY);
    if (i & 4)
      tensor_set(of_student ? &s.z_t : &s.z, 1, 7, -INFINITY);
    for (size_t k = 0; k < 2; k++) {
      run_stats(&s, tensor_types[k], stats);
      for (int64_t r = 0; r < N; r++)
        CU_ASSERT_EQUAL(!isfinite(stats[0][r * K_N_STAT + K_STAT_SUM]) ||
                            !isfinite(stats[0][r * K_N_STAT + K_STAT_T_SUM]),
                        r == 1);
    }
  }
}

/** The tile's ids are global; its padding and other tiles are passed over. */
static void test_topk_tile(void)
{
  tensor_reset();
  enum { V0 = 100, TOP = 4 };
  const tensor z = tensor_random(N, PADDED, 5), top = tensor_output(N, TOP);
  int32_t ids[N * TOP], label[N] = {V0, V0 + 9, V0 + PADDED, 0};
  double stats[N * K_N_STAT];
  for (size_t i = 0; i < 2; i++) {
    const rt_dtype type = tensor_types[i];
    TENSOR_RUN(type, topk, .z = tensor_view(&z, type),
               .label = tensor_ints(label, N, 1),
               .ids = tensor_ints(ids, N, TOP), .top = tensor_view(&top, type),
               .stats = tensor_f64(stats, N, K_N_STAT), .v0 = V0,
               .v_true = V0 + V);
    for (int64_t r = 0; r < N; r++)
      for (int64_t k = 0; k < TOP; k++) {
        const int64_t v = ids[r * TOP + k] - V0;
        CU_ASSERT_FATAL(v >= 0 && v < V);
        const double x = tensor_at(&top, type, r, k);
        CU_ASSERT_EQUAL(x, tensor_at(&z, type, r, v));
        int64_t larger = 0;
        for (int64_t u = 0; u < V; u++)
          larger += tensor_at(&z, type, r, u) > x;
        CU_ASSERT_EQUAL(larger, k);
      }
    CU_ASSERT_EQUAL(stats[K_STAT_LABEL], tensor_at(&z, type, 0, 0));
    CU_ASSERT_EQUAL(stats[K_N_STAT + K_STAT_LABEL], tensor_at(&z, type, 1, 9));
    CU_ASSERT_EQUAL(stats[2 * K_N_STAT + K_STAT_LABEL], 0.0);
    CU_ASSERT_EQUAL(stats[3 * K_N_STAT + K_STAT_LABEL], 0.0);
  }
}

/** A tile of padding only has nothing to give. */
static void test_topk_of_padding(void)
{
  tensor_reset();
  const tensor z = tensor_random(1, PADDED, 5), top = tensor_output(1, 2);
  int32_t ids[2] = {7, 7}, label = 0;
  double stats[K_N_STAT];
  TENSOR_RUN(RT_F32, topk, .z = tensor_view(&z, RT_F32),
             .label = tensor_ints(&label, 1, 1), .ids = tensor_ints(ids, 1, 2),
             .top = tensor_view(&top, RT_F32),
             .stats = tensor_f64(stats, 1, K_N_STAT), .v0 = V, .v_true = V);
  CU_ASSERT(ids[0] == -1 && ids[1] == -1);
  CU_ASSERT(isinf(top.f[0]) && top.f[0] < 0.0f);
  CU_ASSERT_EQUAL(stats[K_STAT_SUM], 0.0);
}

/** Any number of threads, twice over: the same bits. */
static void test_threads(void)
{
  enum { WIDE = 3000 };
  double first[N * K_N_STAT], again[N * K_N_STAT];
  int32_t label[N] = {0, 1, 2, 3};
  for (size_t i = 0; i < 2; i++) {
    tensor_reset();
    const rt_dtype type = tensor_types[i];
    const tensor a = tensor_random(N, WIDE, 1), b = tensor_random(N, WIDE, 1);
    for (int n = 1; n <= 3; n += 2)
      tensor_run_on(
          n, K_xent_stats, type,
          &(k_xent_stats_args){
              .z = tensor_view(n == 1 ? &a : &b, type),
              .label = tensor_ints(label, N, 1),
              .stats = tensor_f64(n == 1 ? first : again, N, K_N_STAT),
              .v_true = WIDE});
    CU_ASSERT(tensor_same(&a, &b, type));
    check_same(first, again);
  }
}

RT_TEST_MAIN("kernels_loss", {"sparse targets, one tile and two", test_sparse},
             {"dense targets, one tile and two", test_dense},
             {"dense targets, soft cross-entropy", test_dense_soft},
             {"masked ids", test_masked}, {"no entries", test_no_entries},
             {"NaN and Inf of a row", test_bad_logits},
             {"NaN and Inf of a teacher", test_bad_teacher},
             {"top-k of a tile", test_topk_tile},
             {"top-k of padding", test_topk_of_padding},
             {"any number of threads, same bits", test_threads})
