/** \file test_loss_coef.c
 *  Coefficients and losses against the formulas of doc/numerics.md on whole
 *  rows of logits, whose statistics are made here.
 *  ranks: 1 */
#include "support/tensor.h"

enum { N = 5, V = 12, K = 3, MOST_SHARDS = 3 };
static const double alpha = 0.3, tau = 2.0;

/** Tokens with logits of student and teacher, and sparse targets. */
typedef struct problem {
  double z[N][V], z_t[N][V], t[N][K], weight[N], entropy[N];
  int32_t label[N], count[N], ids[N][K];
} problem;

static problem make_problem(void)
{
  problem p = {.label = {0, 3, 11, 7, 4}, .count = {3, 2, 0, 1, 3}};
  for (int i = 0; i < N; i++) {
    double sum = 0.0;
    for (int v = 0; v < V; v++) {
      p.z[i][v] = 3.0 * rt_rng_normal(5, RT_RNG_TEST, 1, (uint64_t)(i * V + v));
      p.z_t[i][v] = rt_rng_normal(5, RT_RNG_TEST, 2, (uint64_t)(i * V + v));
    }
    p.weight[i] = 0.125 * (1 + i);
    for (int k = 0; k < p.count[i]; k++) {
      p.ids[i][k] = (5 * k + i) % V; // in several shards
      sum += p.t[i][k] = 1.0 / (1 + k);
    }
    for (int k = 0; k < p.count[i]; k++) {
      p.t[i][k] /= sum;
      p.entropy[i] -= p.t[i][k] * log(p.t[i][k]);
    }
  }
  return p;
}

/** Statistics as the table of kernels defines them, of ids [v0, v1). */
static void sparse_statistics(const problem *p, int i, int v0, int v1,
                              double *s)
{
  memset(s, 0, K_N_STAT * sizeof *s);
  s[K_STAT_MAX] = -INFINITY;
  for (int v = v0; v < v1; v++)
    s[K_STAT_MAX] = fmax(s[K_STAT_MAX], p->z[i][v]);
  for (int v = v0; v < v1; v++)
    s[K_STAT_SUM] += exp(p->z[i][v] - s[K_STAT_MAX]);
  if (p->label[i] >= v0 && p->label[i] < v1)
    s[K_STAT_LABEL] = p->z[i][p->label[i]];
  for (int k = 0; k < p->count[i]; k++)
    if (p->ids[i][k] >= v0 && p->ids[i][k] < v1)
      s[K_STAT_DOT] += p->t[i][k] * p->z[i][p->ids[i][k]];
}

static void dense_statistics(const problem *p, int i, int v0, int v1, bool kl,
                             double *s)
{
  sparse_statistics(p, i, v0, v1, s);
  s[K_STAT_DOT] = 0.0;
  s[K_STAT_T_MAX] = -INFINITY;
  for (int v = v0; v < v1; v++)
    s[K_STAT_T_MAX] = fmax(s[K_STAT_T_MAX], p->z_t[i][v] / tau);
  for (int v = v0; v < v1; v++) {
    const double t = p->z_t[i][v] / tau, e = exp(t - s[K_STAT_T_MAX]);
    s[K_STAT_T_SUM] += e;
    s[K_STAT_DOT] += e * ((kl ? t : 0.0) - p->z[i][v]);
  }
}

/** How the kernel is called. */
typedef struct way {
  int n_shards;
  bool dense, kl;
} way;

static void run(const problem *p, way how, k_coef *coef, k_loss *loss)
{
  static const int cuts[MOST_SHARDS][MOST_SHARDS + 1] = {
      {0, V}, {0, 5, V}, {0, 1, 10, V}};
  double stats[MOST_SHARDS * N * K_N_STAT];
  for (int s = 0; s < how.n_shards; s++)
    for (int i = 0; i < N; i++) {
      const int *const cut = cuts[how.n_shards - 1] + s;
      double *const to = stats + (s * N + i) * K_N_STAT;
      if (how.dense)
        dense_statistics(p, i, cut[0], cut[1], how.kl, to);
      else
        sparse_statistics(p, i, cut[0], cut[1], to);
    }
  TENSOR_RUN(
      RT_F64, loss_coef, .stats = tensor_f64(stats, how.n_shards * N, K_N_STAT),
      .weight = tensor_f64((double *)p->weight, N, 1),
      .entropy = how.kl && !how.dense ? tensor_f64((double *)p->entropy, N, 1)
                                      : (rt_view){0},
      .count =
          how.dense ? (rt_view){0} : tensor_ints((int32_t *)p->count, N, 1),
      .coef = tensor_f64(&coef[0].lse, N, K_N_COEF),
      .loss = tensor_f64(&loss->lm, 1, K_N_LOSS), .alpha = alpha,
      .dense = how.dense, .kl = how.kl);
}

static double lse_of(const double *z, double by)
{
  double sum = 0.0;
  for (int v = 0; v < V; v++)
    sum += exp(z[v] / by);
  return log(sum);
}

/** l(q, t) of a token by its definition: over all ids, or its entries. */
static double plain_kd(const problem *p, int i, way how)
{
  const double lse = lse_of(p->z[i], 1.0), lse_t = lse_of(p->z_t[i], tau);
  double kd = 0.0;
  for (int v = 0; v < V && how.dense; v++) {
    const double log_t = p->z_t[i][v] / tau - lse_t, t = exp(log_t);
    kd += t * ((how.kl ? log_t : 0.0) - (p->z[i][v] - lse));
  }
  for (int k = 0; k < p->count[i] && !how.dense; k++) {
    const double t = p->t[i][k];
    kd += t * ((how.kl ? log(t) : 0.0) - (p->z[i][p->ids[i][k]] - lse));
  }
  return kd;
}

static void check(way how)
{
  const problem p = make_problem();
  k_coef coef[N];
  // sums go on from what is there
  k_loss loss = {.lm = 1.0, .kd = 2.0, .entries = 4.0}, want = loss;
  run(&p, how, coef, &loss);
  for (int i = 0; i < N; i++) {
    const double w = p.weight[i], lse = lse_of(p.z[i], 1.0);
    const bool has_kd = how.dense || p.count[i] > 0;
    const double c_kd = has_kd ? w * alpha : 0.0;
    CU_ASSERT_DOUBLE_EQUAL(coef[i].lse, lse, 1e-13);
    CU_ASSERT_DOUBLE_EQUAL(coef[i].c_label, w * (1.0 - alpha), 1e-15);
    CU_ASSERT_DOUBLE_EQUAL(coef[i].c_kd, c_kd, 1e-15);
    CU_ASSERT_DOUBLE_EQUAL(coef[i].a, w * (1.0 - alpha) + c_kd, 1e-15);
    if (how.dense)
      CU_ASSERT_DOUBLE_EQUAL(coef[i].t_lse, lse_of(p.z_t[i], tau), 1e-13);
    want.lm += w * (lse - p.z[i][p.label[i]]);
    want.kd += w * plain_kd(&p, i, how);
    want.entries += how.dense ? 0.0 : w * p.count[i];
  }
  CU_ASSERT_DOUBLE_EQUAL(loss.lm, want.lm, 1e-12);
  CU_ASSERT_DOUBLE_EQUAL(loss.kd, want.kd, 1e-12);
  CU_ASSERT_DOUBLE_EQUAL(loss.entries, want.entries, 1e-15);
}

static void test_formulas(void)
{
  for (int n_shards = 1; n_shards <= MOST_SHARDS; n_shards++)
    for (int i = 0; i < 4; i++)
      check((way){n_shards, i / 2 == 1, i % 2 == 1});
}

/** Without entries at all the loss is that of the text, and alpha only weighs
 *  it. */
static void test_text_only(void)
{
  problem p = make_problem(), none = p;
  k_coef coef[N], other[N];
  k_loss loss = {0}, same = {0};
  memset(none.count, 0, sizeof none.count);
  run(&p, (way){1, false, false}, coef, &loss);
  run(&none, (way){1, false, false}, other, &same);
  CU_ASSERT(same.lm == loss.lm && same.kd == 0.0 && same.entries == 0.0);
  for (int i = 0; i < N; i++) {
    CU_ASSERT(other[i].c_kd == 0.0 && other[i].a == other[i].c_label);
    CU_ASSERT_EQUAL(other[i].c_label, coef[i].c_label);
  }
}

/** What is not finite shows in the sums, and in no other token's numbers. */
static void test_not_finite(void)
{
  const double bad[] = {NAN, INFINITY, -INFINITY};
  const problem good = make_problem();
  k_coef want[N], coef[N];
  k_loss loss = {0};
  run(&good, (way){2, false, true}, want, &loss);
  for (int b = 0; b < 3; b++) {
    problem p = good;
    for (int v = 0; v < (b == 2 ? V : 1); v++)
      p.z[3][v] = bad[b];
    loss = (k_loss){0};
    run(&p, (way){2, false, true}, coef, &loss);
    CU_ASSERT(!isfinite(loss.lm) && !isfinite(loss.kd));
    CU_ASSERT(!isfinite(coef[3].lse));
    for (int i = 0; i < N; i++)
      CU_ASSERT(i == 3 || tensor_same_bits(&coef[i], &want[i], sizeof *coef));
  }
}

/** No tokens: the sums stay. */
static void test_no_tokens(void)
{
  k_loss loss = {1.0, 2.0, 3.0};
  TENSOR_RUN(RT_F64, loss_coef, .stats = rt_view_of(NULL, RT_F64, 0, K_N_STAT),
             .weight = rt_view_of(NULL, RT_F64, 0, 1),
             .coef = rt_view_of(NULL, RT_F64, 0, K_N_COEF),
             .loss = tensor_f64(&loss.lm, 1, K_N_LOSS), .alpha = alpha);
  CU_ASSERT(loss.lm == 1.0 && loss.kd == 2.0 && loss.entries == 3.0);
}

/** Sums in order of tokens, for any number of threads. */
static void test_order(void)
{
  enum { MANY = 1000 };
  static double stats[MANY * K_N_STAT], weight[MANY];
  static k_coef coef[MANY];
  double sum = 0.0;
  for (int i = 0; i < MANY; i++) {
    stats[i * K_N_STAT + K_STAT_SUM] = 1.0; // lse 0
    stats[i * K_N_STAT + K_STAT_LABEL] =
        -rt_rng_uniform(5, RT_RNG_TEST, 3, (uint64_t)i);
    weight[i] = 1.0;
    sum += -stats[i * K_N_STAT + K_STAT_LABEL];
  }
  for (int n_threads = 1; n_threads <= 3; n_threads++) {
    k_loss loss = {0};
    const k_loss_coef_args a = {.stats = tensor_f64(stats, MANY, K_N_STAT),
                                .weight = tensor_f64(weight, MANY, 1),
                                .coef =
                                    tensor_f64(&coef[0].lse, MANY, K_N_COEF),
                                .loss = tensor_f64(&loss.lm, 1, K_N_LOSS)};
    tensor_run_on(n_threads, K_loss_coef, RT_F64, &a);
    CU_ASSERT_EQUAL(loss.lm, sum);
  }
}

static void test_misfit(void)
{
  const problem p = make_problem();
  double stats[(N + 1) * K_N_STAT] = {0};
  k_coef coef[N];
  k_loss loss = {0};
  k_ctx ctx = tensor_ctx(1);
  k_table_cpu()[K_loss_coef].fn[K_SET_F64](
      &ctx, &(k_loss_coef_args){.stats = tensor_f64(stats, N + 1, K_N_STAT),
                                .weight = tensor_f64((double *)p.weight, N, 1),
                                .coef = tensor_f64(&coef[0].lse, N, K_N_COEF),
                                .loss = tensor_f64(&loss.lm, 1, K_N_LOSS)});
  RT_FAILS(ctx.err, RT_ERR_INTERNAL, "6 statistics of 5 tokens");
}

RT_TEST_MAIN("loss_coef", {"formulas, any shards", test_formulas},
             {"text only", test_text_only}, {"NaN and Inf", test_not_finite},
             {"no tokens", test_no_tokens}, {"order of tokens", test_order},
             {"sizes that do not fit", test_misfit})
