/** \file test_kernels.c
 *  CPU kernels against plain loops in double.  What the model and objective
 *  suites prove by finite differences is not repeated here.
 *  ranks: 1 */
#include "base/rng.h"
#include "kernels/kernels.h"
#include "support/rt_test.h"

#include <math.h>
#include <string.h>

enum { N = 5, V = 300, MOST = 4096 };

static double normal(uint64_t row, int64_t i)
{
  return rt_rng_normal(3, RT_RNG_TEST, row, (uint64_t)i);
}

/** Run a kernel of the f64 or f32 table on two threads. */
static void run(k_id kernel, bool f64, const void *args)
{
  static _Alignas(64) char workspace[2 << 20];
  k_ctx ctx = {.n_threads = 2,
               .workspace = workspace,
               .workspace_bytes = sizeof workspace};
  CU_ASSERT_FATAL(k_workspace_cpu(&ctx, kernel, args) <= sizeof workspace);
  const k_row *row = &k_table_cpu()[kernel];
  row->fn[f64 ? K_SET_F64 : K_SET_F32](&ctx, args);
  CU_ASSERT_EQUAL(ctx.err, RT_OK);
}

static rt_view f64(double *x, int64_t rows, int64_t cols)
{
  return rt_view_of(x, RT_F64, rows, cols);
}

static rt_view i32(int32_t *x, int64_t rows, int64_t cols)
{
  return rt_view_of(x, RT_I32, rows, cols);
}

/** The best k of z by plain search: largest first, ties by lower id. */
static void plain_topk(const double *z, int64_t n, int64_t k, int32_t *ids)
{
  bool taken[MOST] = {false};
  for (int64_t i = 0; i < k; i++) {
    int64_t best = -1;
    for (int64_t v = 0; v < n; v++)
      if (!taken[v] && (best < 0 || z[v] > z[best]))
        best = v;
    ids[i] = best < 0 ? -1 : (int32_t)best;
    if (best >= 0)
      taken[best] = true;
  }
}

static void check_topk(int64_t v, int64_t v_true, int64_t k, bool ties)
{
  static double z[N * MOST], top[N * MOST], stats[N * K_N_STAT];
  static int32_t ids[N * MOST], want[MOST];
  int32_t label[N] = {0};
  for (int64_t i = 0; i < N * v; i++)
    z[i] = ties ? floor(2.0 * normal(1, i)) : normal(1, i);
  run(K_topk, true,
      &(k_topk_args){.z = f64(z, N, v),
                     .label = i32(label, N, 1),
                     .ids = i32(ids, N, k),
                     .top = f64(top, N, k),
                     .stats = f64(stats, N, K_N_STAT),
                     .v_true = v_true,
                     .spread = true});
  for (int64_t r = 0; r < N; r++) {
    plain_topk(z + r * v, v_true, k, want);
    CU_ASSERT_EQUAL(memcmp(want, ids + r * k, (size_t)k * sizeof *want), 0);
    CU_ASSERT_EQUAL(top[r * k], z[r * v + want[0]]);
    double sum = 0.0;
    for (int64_t i = 0; i < v_true; i++)
      sum += exp(z[r * v + i] - top[r * k]);
    CU_ASSERT_DOUBLE_EQUAL(stats[r * K_N_STAT + K_STAT_SUM], sum, 1e-12 * sum);
    double exp_z = 0.0, first = 0.0, second = 0.0;
    for (int64_t i = 0; i < v_true; i++) {
      const double x = z[r * v + i] - top[r * k];
      exp_z += exp(x) * x;
      first += x;
      second += x * x;
    }
    const double *s = stats + r * K_N_STAT;
    CU_ASSERT_DOUBLE_EQUAL(s[K_STAT_EXP_Z], exp_z, 1e-12 * fabs(exp_z));
    CU_ASSERT_DOUBLE_EQUAL(s[K_STAT_Z], first, 1e-12 * fabs(first));
    CU_ASSERT_DOUBLE_EQUAL(s[K_STAT_ZZ], second, 1e-12 * second);
  }
}

static void test_topk(void)
{
  check_topk(V, V, 10, false);
  check_topk(V, V - 7, 10, false);   // padding is never chosen
  check_topk(4000, 4000, 50, false); // fewer candidates than blocks
  check_topk(4000, 4000, 50, true);  // many equal values: lowest ids
  check_topk(V, V, V, true);
  check_topk(V, V, V + 20, false); // more asked than there are
}

/** Where the running sum passes u, in double and one by one. */
static int32_t plain_draw(const double *z, int64_t n, double top, double u)
{
  double sum = 0.0;
  for (int64_t v = 0; v < n; v++) {
    sum += exp(z[v] - top);
    if (u < sum)
      return (int32_t)v;
  }
  return (int32_t)(n - 1);
}

static void check_draw(int64_t v, int64_t v_true)
{
  enum { DRAWS = 40, V0 = 1000 };
  static double z[N * MOST], top[N], stats[N * K_N_STAT], u[N * DRAWS];
  static int32_t ids[N * DRAWS], best[N];
  int32_t label[N] = {0};
  for (int64_t i = 0; i < N * v; i++)
    z[i] = 3.0 * normal(5, i);
  run(K_topk, true,
      &(k_topk_args){.z = f64(z, N, v),
                     .label = i32(label, N, 1),
                     .ids = i32(best, N, 1),
                     .top = f64(top, N, 1),
                     .stats = f64(stats, N, K_N_STAT),
                     .v0 = V0,
                     .v_true = V0 + v_true});
  for (int64_t r = 0; r < N; r++)
    for (int64_t d = 0; d < DRAWS; d++) // some are others', the last too large
      u[r * DRAWS + d] = d % 7 == 2 ? -1.0
                                    : stats[r * K_N_STAT + K_STAT_SUM] *
                                          ((double)d + 0.37) / (DRAWS - 0.7);
  run(K_draw, true,
      &(k_draw_args){.z = f64(z, N, v),
                     .stats = f64(stats, N, K_N_STAT),
                     .u = f64(u, N, DRAWS),
                     .ids = i32(ids, N, DRAWS),
                     .v0 = V0,
                     .v_true = V0 + v_true});
  for (int64_t r = 0; r < N; r++)
    for (int64_t d = 0; d < DRAWS; d++) {
      const int32_t want =
          u[r * DRAWS + d] < 0.0
              ? -1
              : V0 + plain_draw(z + r * v, v_true, top[r], u[r * DRAWS + d]);
      CU_ASSERT_EQUAL(ids[r * DRAWS + d], want);
    }
}

static void test_draw(void)
{
  check_draw(V, V);
  check_draw(V, V - 7); // padding has no probability
  check_draw(4000, 4000);
  check_draw(4000, 3841);
}

/** A draw that rounding leaves over falls on the last id of some probability,
 *  however many masked ones follow. */
static void test_draw_masked(void)
{
  static double z[MOST];
  double stats[K_N_STAT] = {0.0, 300.0};
  double u[] = {0.0, 299.5, 300.0, 301.0};
  int32_t ids[4];
  for (int64_t i = 0; i < MOST; i++)
    z[i] = i < 300 ? 0.0 : i % 2 == 0 ? -INFINITY : -1e4;
  run(K_draw, true,
      &(k_draw_args){.z = f64(z, 1, MOST),
                     .stats = f64(stats, 1, K_N_STAT),
                     .u = f64(u, 1, 4),
                     .ids = i32(ids, 1, 4),
                     .v_true = MOST});
  CU_ASSERT(ids[0] == 0 && ids[1] == 299 && ids[2] == 299 && ids[3] == 299);
}

/** One high logit in each block of 64 of those below \a end: the bound must let
 *  exactly k pass.  All others are \a low. */
static void check_spikes(int64_t end, double low)
{
  static double z[MOST], top[MOST / 64];
  double stats[K_N_STAT];
  int32_t ids[MOST / 64], want[MOST / 64], label = 0;
  for (int64_t i = 0; i < MOST; i++)
    z[i] = i % 64 == 17 && i < end ? normal(7, i) : low;
  for (int64_t k = 1; k <= MOST / 64; k++) {
    run(K_topk, true,
        &(k_topk_args){.z = f64(z, 1, MOST),
                       .label = i32(&label, 1, 1),
                       .ids = i32(ids, 1, k),
                       .top = f64(top, 1, k),
                       .stats = f64(stats, 1, K_N_STAT),
                       .v_true = MOST});
    plain_topk(z, MOST, k, want);
    CU_ASSERT_EQUAL(memcmp(want, ids, (size_t)k * sizeof *want), 0);
  }
}

static void test_topk_spikes(void)
{
  check_spikes(MOST, -100.0);
  check_spikes(MOST / 2, -100.0);
  check_spikes(MOST / 2, -INFINITY); // half of the blocks are masked
}

/** Row \a r: random logits of student and teacher, [V], and the probabilities
 * of the teacher at temperature \a tau. */
static void make_row(int64_t r, double *z, double *z_t, double *t, double tau)
{
  double sum = 0.0;
  for (int64_t v = 0; v < V; v++) {
    z[v] = 3.0 * normal(2, r * V + v);
    z_t[v] = 3.0 * normal(4, r * V + v);
    sum += t[v] = exp(z_t[v] / tau);
  }
  for (int64_t v = 0; v < V; v++)
    t[v] /= sum;
}

/** A dense teacher and the sparse kernel with all entries: one gradient. */
static void test_dense_is_sparse(void)
{
  static double z_s[N * V], z_t[N * V], z[N * V], t[N * V];
  static int32_t ids[N * V];
  int32_t label[N], count[N];
  double dense[N * K_N_STAT], sparse[N * K_N_STAT];
  k_coef coef[N];
  const double tau = 1.7;
  for (int64_t r = 0; r < N; r++) {
    make_row(r, z + r * V, z_t + r * V, t + r * V, tau);
    for (int64_t v = 0; v < V; v++)
      ids[r * V + v] = (int32_t)v;
    label[r] = (int32_t)(r * 31 % V);
    count[r] = V;
  }
  memcpy(z_s, z, sizeof z);
  run(K_dense_stats, true,
      &(k_dense_stats_args){.z_s = f64(z_s, N, V),
                            .z_t = f64(z_t, N, V),
                            .label = i32(label, N, 1),
                            .stats = f64(dense, N, K_N_STAT),
                            .v_true = V,
                            .tau = tau});
  const k_xent_stats_args x = {.z = f64(z, N, V),
                               .label = i32(label, N, 1),
                               .count = i32(count, N, 1),
                               .ids = i32(ids, N, V),
                               .t = f64(t, N, V),
                               .stats = f64(sparse, N, K_N_STAT),
                               .v_true = V};
  run(K_xent_stats, true, &x);
  for (int64_t r = 0; r < N; r++) {
    const double *d = dense + r * K_N_STAT, *s = sparse + r * K_N_STAT;
    CU_ASSERT_DOUBLE_EQUAL(d[K_STAT_SUM], s[K_STAT_SUM], 1e-12);
    CU_ASSERT_EQUAL(d[K_STAT_LABEL], s[K_STAT_LABEL]);
    coef[r] = (k_coef){.lse = d[K_STAT_MAX] + log(d[K_STAT_SUM]),
                       .a = 1.0,
                       .c_label = 0.25,
                       .c_kd = 0.75,
                       .t_lse = d[K_STAT_T_MAX] + log(d[K_STAT_T_SUM])};
  }
  const rt_view coefs = f64(&coef[0].lse, N, K_N_COEF);
  run(K_dense_grad, true,
      &(k_dense_grad_args){.z_s = f64(z_s, N, V),
                           .z_t = f64(z_t, N, V),
                           .label = i32(label, N, 1),
                           .stats = f64(dense, N, K_N_STAT),
                           .coef = coefs,
                           .dz = f64(z_s, N, V)});
  run(K_xent_grad, true,
      &(k_xent_grad_args){.z = x.z,
                          .label = x.label,
                          .count = x.count,
                          .ids = x.ids,
                          .t = x.t,
                          .stats = x.stats,
                          .coef = coefs,
                          .dz = x.z});
  for (int64_t i = 0; i < N * V; i++)
    CU_ASSERT_DOUBLE_EQUAL(z_s[i], z[i], 1e-14);
}

/** torch.optim.AdamW, written out, over several steps. */
static void test_adamw(void)
{
  double p[V], m[V] = {0}, v[V] = {0}, g[V];
  double want[V], wm[V] = {0}, wv[V] = {0};
  const double b1 = 0.9, b2 = 0.95, eps = 1e-8, wd = 0.1, lr = 1e-2;
  for (int i = 0; i < V; i++)
    want[i] = p[i] = normal(5, i);
  for (int t = 1; t <= 4; t++) {
    k_adamw_step step = {lr, 0.5, 1 - pow(b1, t), 1 - pow(b2, t), 0.0};
    for (int i = 0; i < V; i++) {
      g[i] = normal(6, i * 10 + t);
      const double grad = 0.5 * g[i];
      want[i] *= 1 - lr * wd;
      wm[i] = b1 * wm[i] + (1 - b1) * grad;
      wv[i] = b2 * wv[i] + (1 - b2) * grad * grad;
      want[i] -= lr * (wm[i] / step.bias1) / (sqrt(wv[i] / step.bias2) + eps);
    }
    k_segment all = {.n = V, .weight_decay = wd};
    k_adamw_args a = {.p = f64(p, 1, V),
                      .m = f64(m, 1, V),
                      .v = f64(v, 1, V),
                      .g = f64(g, 1, V),
                      .segments = f64(&all.p, 1, K_N_SEGMENT),
                      .step = f64((double *)&step, 1, 5),
                      .beta1 = b1,
                      .beta2 = b2,
                      .eps = eps};
    run(K_adamw, true, &a);
    step.skip = 1.0; // changes nothing
    run(K_adamw, true, &a);
  }
  for (int i = 0; i < V; i++)
    CU_ASSERT_DOUBLE_EQUAL(p[i], want[i], 1e-13);
}

/** Exponentials of the f32 kernel within 2e-7 of exp, from -100 to 0. */
static void test_exp(void)
{
  static float z[MOST];
  double stats[K_N_STAT];
  int32_t label = 0;
  for (int i = 0; i < MOST; i++)
    z[i] = -100.0f * (float)i / MOST;
  run(K_xent_stats, false,
      &(k_xent_stats_args){.z = rt_view_of(z, RT_F32, 1, MOST),
                           .label = i32(&label, 1, 1),
                           .stats = f64(stats, 1, K_N_STAT),
                           .v_true = MOST});
  for (int i = 0; i < MOST; i++) {
    const double want = exp((double)(-100.0f * (float)i / MOST));
    if (want > 1.7e-38) // below e^-87 the kernel gives 0
      CU_ASSERT_DOUBLE_EQUAL((double)z[i], want, 2e-7 * want);
  }
}

/** A NaN or an Inf anywhere comes out of the sum of squares. */
static void test_bad_numbers(void)
{
  static float x[MOST];
  double sum;
  k_segment all = {.n = MOST};
  for (int i = 0; i < 3; i++) {
    memset(x, 0, sizeof x);
    x[MOST - 1 - 100 * i] = i == 0 ? 2.0f : i == 1 ? NAN : INFINITY;
    run(K_sumsq, false,
        &(k_sumsq_args){rt_view_of(x, RT_F32, 1, MOST),
                        f64(&all.p, 1, K_N_SEGMENT), f64(&sum, 1, 1)});
    CU_ASSERT(i == 0 ? sum == 4.0 : !isfinite(sum));
  }
}

/** Largest of each row, ties by lower id; padding never. */
static void test_argmax(void)
{
  double z[2 * 6] = {1, 5, 5, 2, 0, 9, -3, -2, -4, -2, -5, 0}, best[2];
  int32_t id[2];
  run(K_argmax, true,
      &(k_argmax_args){.z = f64(z, 2, 6),
                       .id = i32(id, 2, 1),
                       .best = f64(best, 2, 1),
                       .v0 = 10,
                       .v_true = 15});
  CU_ASSERT_EQUAL(id[0], 11);
  CU_ASSERT_EQUAL(id[1], 11);
  CU_ASSERT_EQUAL(best[1], -2.0);
  static double wide[MOST]; // the same maximum at 1500 and far behind
  wide[1500] = wide[1501] = wide[4000] = 2.5;
  run(K_argmax, true,
      &(k_argmax_args){.z = f64(wide, 1, MOST),
                       .id = i32(id, 1, 1),
                       .best = f64(best, 1, 1),
                       .v_true = MOST});
  CU_ASSERT_EQUAL(id[0], 1500);
  CU_ASSERT_EQUAL(best[0], 2.5);
}

RT_TEST_MAIN("kernels", {"top-k is exact, ties by id", test_topk},
             {"top-k of spikes", test_topk_spikes}, {"draws", test_draw},
             {"draws and masked ids", test_draw_masked},
             {"a dense teacher is a sparse one with all", test_dense_is_sparse},
             {"AdamW as in torch", test_adamw},
             {"exponentials to 2e-7", test_exp},
             {"NaN and Inf are seen", test_bad_numbers},
             {"argmax", test_argmax})
