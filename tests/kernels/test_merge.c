/** \file test_merge.c
 *  Entries from the candidates of shards, and their targets, against the whole
 *  row in double.
 *  ranks: 1 */
#include "support/tensor.h"

enum { N = 4, V = 37, MOST_SHARDS = 4, ROW = 9, TOK0 = 20 };

/** Logits of N tokens, and where the shards begin: shard i has ids [cut[i],
 *  cut[i + 1]), of which those below v are true. */
typedef struct rows {
  tensor z;
  int64_t v, k, cut[MOST_SHARDS + 1];
  int n_shards;
  int32_t label[N];
  rt_truncation rule;
} rows;

/** Entries of a merge. */
typedef struct merged {
  rt_view stats, top, ids; // of all shards, with gaps between their rows
  int32_t count[N], best[N * V];
  float logp[N * V];
  k_about about[N];
} merged;

static rows make_rows(int64_t v, int64_t k, int n_shards)
{
  tensor_reset();
  rows x = {.z = tensor_random(N, 64, 7),
            .v = v,
            .k = k,
            .n_shards = n_shards,
            .rule = {.top_p = 1.0, .top_k = k}};
  // of unequal width; the last one is all padding where there are four
  const int64_t cuts[MOST_SHARDS][MOST_SHARDS + 1] = {
      {0, 64}, {0, 5, 64}, {0, 20, 30, 64}, {0, 1, 30, 50, 64}};
  memcpy(x.cut, cuts[n_shards - 1], sizeof x.cut);
  for (int i = 0; i < N; i++)
    x.label[i] = (int32_t)(11 * i % v);
  return x;
}

/** A row of each shard, three elements longer than needed. */
static rt_view make_all(rt_dtype type, int n_shards, int64_t n)
{
  const int64_t ld = n + 3;
  void *const data =
      tensor_memory((size_t)(n_shards * ld) * rt_dtype_size(type));
  return (rt_view){data, type, n_shards, n, ld};
}

static rt_view of_shard(rt_view all, int i)
{
  const rt_view row = rt_view_rows(all, i, 1);
  return rt_view_of(row.data, row.dtype, N, row.cols / N);
}

/** Candidates of every shard by kernel topk. */
static void find_candidates(const rows *x, rt_dtype type, bool spread,
                            merged *m)
{
  m->stats = make_all(RT_F64, x->n_shards, N * K_N_STAT);
  m->top = make_all(type, x->n_shards, N * x->k);
  m->ids = make_all(RT_I32, x->n_shards, N * x->k);
  for (int i = 0; i < x->n_shards; i++)
    TENSOR_RUN(type, topk,
               .z = rt_view_cols(tensor_view(&x->z, type), x->cut[i],
                                 x->cut[i + 1] - x->cut[i]),
               .label = tensor_ints((int32_t *)x->label, N, 1),
               .ids = of_shard(m->ids, i), .top = of_shard(m->top, i),
               .stats = of_shard(m->stats, i), .v0 = x->cut[i], .v_true = x->v,
               .spread = spread);
}

static k_merge_topk_args args_of(const rows *x, merged *m)
{
  return (k_merge_topk_args){.stats = m->stats,
                             .top = m->top,
                             .ids = m->ids,
                             .count = tensor_ints(m->count, N, 1),
                             .best = tensor_ints(m->best, N, x->k),
                             .logp = rt_view_of(m->logp, RT_F32, N, x->k),
                             .about =
                                 tensor_f64(&m->about[0].lse, N, K_N_ABOUT),
                             .of = {.row = ROW, .tok0 = TOK0},
                             .rule = x->rule};
}

static void merge(const rows *x, rt_dtype type, merged *m)
{
  find_candidates(x, type, false, m);
  const k_merge_topk_args a = args_of(x, m);
  tensor_run_on(2, K_merge_topk, type, &a);
}

static double lse_of(const rows *x, rt_dtype type, int i)
{
  double sum = 0.0;
  for (int64_t v = 0; v < x->v; v++)
    sum += exp(tensor_at(&x->z, type, i, v));
  return log(sum);
}

/** The ids of a row, largest logit first, ties by lower id. */
static void sort_ids(const rows *x, int i, int32_t ids[V])
{
  for (int32_t v = 0; v < x->v; v++) {
    int at = v;
    for (; at > 0 && tensor_at(&x->z, RT_F64, i, ids[at - 1]) <
                         tensor_at(&x->z, RT_F64, i, v);
         at--)
      ids[at] = ids[at - 1];
    ids[at] = v;
  }
}

/** Entries [0, count) of each token are the likeliest ids; nothing follows. */
static void check(const rows *x, rt_dtype type, const merged *m, double tol)
{
  for (int i = 0; i < N; i++) {
    int32_t ids[V];
    const double lse = lse_of(x, type, i);
    sort_ids(x, i, ids);
    CU_ASSERT_DOUBLE_EQUAL(m->about[i].lse, lse, tol);
    CU_ASSERT_DOUBLE_EQUAL(m->about[i].label_logp,
                           tensor_at(&x->z, type, i, x->label[i]) - lse, tol);
    for (int64_t k = 0; k < x->k; k++) {
      const int64_t at = i * x->k + k;
      const bool kept = k < m->count[i];
      CU_ASSERT_EQUAL(m->best[at], kept ? ids[k] : -1);
      const double want =
          kept ? tensor_at(&x->z, type, i, ids[k]) - lse : -INFINITY;
      CU_ASSERT(want == (double)m->logp[at] ||
                fabs((double)m->logp[at] - want) <= tol + 5e-7);
    }
  }
}

/** Any shards, any k: one, some, all; a vocabulary of one id. */
static void test_shards(void)
{
  const int64_t sizes[][2] = {{1, 1}, {2, 2}, {V, 1}, {V, 6}, {V, V}};
  static merged m;
  for (int n_shards = 1; n_shards <= MOST_SHARDS; n_shards++)
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++)
      for (size_t t = 0; t < 2; t++) {
        const rows x = make_rows(sizes[i][0], sizes[i][1], n_shards);
        merge(&x, tensor_types[t], &m);
        for (int r = 0; r < N; r++)
          CU_ASSERT_EQUAL(m.count[r], x.k);
        check(&x, tensor_types[t], &m, t == 0 ? 2e-6 : 1e-12);
      }
}

/** Equal logits within a shard and in several, in ascending order of ids. */
static void test_ties(void)
{
  static merged m;
  for (int n_shards = 1; n_shards <= MOST_SHARDS; n_shards++) {
    rows x = make_rows(V, 9, n_shards);
    for (int64_t v = 0; v < V; v++) {
      tensor_set(&x.z, 0, v, 1.0); // all
      tensor_set(&x.z, 1, v, (double)(v % 3));
    }
    merge(&x, RT_F64, &m);
    check(&x, RT_F64, &m, 1e-12);
    for (int k = 0; k < 9; k++)
      CU_ASSERT(m.best[k] == k && m.best[9 + k] == 2 + 3 * k);
  }
}

/** Logits that differ may have the same log-prob in f32: then the lower id is
 *  the first one. */
static void test_ties_in_f32(void)
{
  static merged m;
  for (int n_shards = 1; n_shards <= MOST_SHARDS; n_shards++) {
    rows x = make_rows(V, 3, n_shards);
    for (int64_t v = 0; v < V; v++) // the higher id has the larger logit
      x.z.d[v] = v == 8 || v == 31 ? 2.0 + 1e-13 * (double)v : -1.0;
    merge(&x, RT_F64, &m);
    CU_ASSERT_EQUAL(m.logp[0], m.logp[1]);
    CU_ASSERT(m.best[0] == 8 && m.best[1] == 31 && m.best[2] == 0);
  }
}

/** Top-p includes the entry that reaches p, at least one and at most top_k. */
static void test_top_p(void)
{
  static merged m;
  for (int n_shards = 1; n_shards <= MOST_SHARDS; n_shards++) {
    rows x = make_rows(4, 4, n_shards); // probabilities 1/2, 1/4, 1/8, 1/8
    for (int i = 0; i < N; i++)
      for (int64_t v = 0; v < 4; v++)
        tensor_set(&x.z, i, v, log(v < 2 ? 0.5 / (double)(1 + v) : 0.125));
    merge(&x, RT_F64, &m);
    const double half = exp((double)m.logp[0]); // as it is kept, in f32
    const struct {
      rt_truncation rule;
      int want;
    } cases[] = {{{half, 4}, 1}, {{nextafter(half, 1.0), 4}, 2},
                 {{1e-9, 4}, 1}, {{0.76, 4}, 3},
                 {{0.76, 2}, 2}, {{1.0, 4}, 4},
                 {{0.9, 4}, 4}};
    for (size_t c = 0; c < sizeof cases / sizeof cases[0]; c++) {
      x.rule = cases[c].rule;
      merge(&x, RT_F64, &m);
      for (int i = 0; i < N; i++)
        CU_ASSERT_EQUAL(m.count[i], cases[c].want);
      check(&x, RT_F64, &m, 1e-12);
    }
  }
}

/** Mask ids of rows 1 and 2, all of some shards among them. */
static void mask(rows *x)
{
  for (int64_t v = 0; v < x->v; v++)
    if (v >= 13 && v < 30)
      tensor_set(&x->z, 1, v, -INFINITY);
  for (int64_t v = 3; v < x->v; v += 2)
    tensor_set(&x->z, 2, v, -INFINITY);
}

/** An id with a logit of -inf has no probability, and is no entry. */
static void test_impossible(void)
{
  static merged m;
  for (int n_shards = 1; n_shards <= MOST_SHARDS; n_shards++) {
    rows x = make_rows(V, V, n_shards);
    mask(&x);
    x.label[2] = 3;
    merge(&x, RT_F32, &m);
    CU_ASSERT_EQUAL(m.about[2].label_logp, -INFINITY);
    CU_ASSERT(m.count[1] == V - 17 && m.count[2] == V - 17);
    for (int i = 1; i <= 2; i++) {
      CU_ASSERT_DOUBLE_EQUAL(m.about[i].lse, lse_of(&x, RT_F32, i), 1e-6);
      for (int k = 0; k < V; k++) {
        CU_ASSERT_EQUAL(m.best[i * V + k] >= 0, k < V - 17);
        CU_ASSERT_EQUAL(isfinite(m.logp[i * V + k]), k < V - 17);
      }
    }
  }
}

static rt_err try(k_id kernel, const void *args)
{
  k_ctx ctx = tensor_ctx(2);
  k_table_cpu()[kernel].fn[K_SET_F64](&ctx, args);
  return ctx.err;
}

/** NaN, Inf, nothing but -inf: an error where they must not be, which names the
 *  first such token; otherwise the log-sum-exp tells.  Other tokens keep their
 *  entries. */
static void test_not_finite(void)
{
  const double bad[] = {NAN, INFINITY, -INFINITY};
  static merged m;
  for (int n_shards = 1; n_shards <= MOST_SHARDS; n_shards++)
    for (int b = 0; b < 3; b++) {
      rows x = make_rows(V, 6, n_shards);
      for (int64_t v = b == 2 ? 0 : 33; v < (b == 2 ? V : 34); v++) {
        tensor_set(&x.z, 1, v, bad[b]);
        tensor_set(&x.z, 3, v, bad[b]);
      }
      find_candidates(&x, RT_F64, true, &m);
      k_merge_topk_args a = args_of(&x, &m);
      CU_ASSERT_EQUAL(try(K_merge_topk, &a), RT_OK);
      a.of.spread = true;
      CU_ASSERT_EQUAL(try(K_merge_topk, &a), RT_OK);
      for (int i = 0; i < N; i++) {
        CU_ASSERT_EQUAL(!isfinite(m.about[i].lse), i % 2 == 1);
        CU_ASSERT_EQUAL(isnan(m.about[i].entropy), i % 2 == 1);
        CU_ASSERT_EQUAL(isnan(m.about[i].deviation), i % 2 == 1);
      }
      a.of.finite = true;
      RT_FAILS(try(K_merge_topk, &a), RT_ERR_DATA,
               "the teacher's logits of row 9, token 21 are not finite");
      CU_ASSERT(m.count[0] == 6 && m.count[2] == 6);
    }
}

/** Entropy and standard deviation of row \a i by definition, over the ids that
 *  are not masked. */
static void check_spread(const rows *x, rt_dtype type, int i, const k_about *a)
{
  double entropy = 0.0, mean = 0.0, square = 0.0, n = 0.0;
  const double lse = lse_of(x, type, i), tol = type == RT_F64 ? 1e-12 : 1e-5;
  for (int64_t v = 0; v < V; v++) {
    const double z = tensor_at(&x->z, type, i, v);
    if (z == -INFINITY)
      continue;
    entropy -= exp(z - lse) * (z - lse);
    mean += z;
    square += z * z;
    n += 1.0;
  }
  mean /= n;
  CU_ASSERT_DOUBLE_EQUAL(a->entropy, entropy, tol);
  CU_ASSERT_DOUBLE_EQUAL(a->deviation, sqrt(square / n - mean * mean), tol);
}

/** Entropy and standard deviation, with masked ids or not; nothing is written
 *  where it is not asked for. */
static void test_about(void)
{
  static const int64_t widths[MOST_SHARDS] = {64, 20, 13, 13};
  static merged m;
  for (int c = 0; c < 4 * MOST_SHARDS; c++) {
    const rt_dtype type = tensor_types[c & 1];
    const int tp = 1 + c / 4;
    rows x = make_rows(V, 3, tp);
    for (int i = 0; i <= tp; i++) // of equal width, with padding
      x.cut[i] = i * widths[tp - 1];
    if (c & 2)
      mask(&x);
    find_candidates(&x, type, true, &m);
    k_merge_topk_args a = args_of(&x, &m);
    a.of.spread = a.of.finite = true;
    tensor_run_on(2, K_merge_topk, type, &a);
    for (int i = 0; i < N; i++)
      check_spread(&x, type, i, &m.about[i]);
    a.about = (rt_view){0};
    memset(m.about, 0, sizeof m.about);
    tensor_run_on(1, K_merge_topk, type, &a);
    CU_ASSERT_EQUAL(m.about[0].lse, 0.0);
  }
}

/** Any number of threads: the same bits. */
static void test_threads(void)
{
  static merged m, again;
  const rows x = make_rows(V, 6, 3);
  find_candidates(&x, RT_F32, true, &m);
  again = m;
  const k_merge_topk_args a = args_of(&x, &m), b = args_of(&x, &again);
  tensor_run_on(1, K_merge_topk, RT_F32, &a);
  tensor_run_on(3, K_merge_topk, RT_F32, &b);
  CU_ASSERT(tensor_same_bits(m.best, again.best, sizeof m.best));
  CU_ASSERT(tensor_same_bits(m.logp, again.logp, sizeof m.logp));
  CU_ASSERT(tensor_same_bits(m.about, again.about, sizeof m.about));
}

static void test_misfits(void)
{
  static merged m;
  rows x = make_rows(V, 6, 2);
  find_candidates(&x, RT_F64, false, &m);
  k_merge_topk_args a = args_of(&x, &m);
  a.stats.cols = N * K_N_STAT - 1;
  RT_FAILS(try(K_merge_topk, &a), RT_ERR_INTERNAL, "of 2 shards for 4 tokens");
  a = args_of(&x, &m);
  a.top.cols = a.ids.cols = N * 5;
  RT_FAILS(try(K_merge_topk, &a), RT_ERR_INTERNAL, "of 2 shards for 4 tokens");
}

/** Targets of entries of any number, none included, as defined. */
static void check_targets(rt_dtype type, double tau)
{
  enum { K = 5 };
  tensor_reset();
  int32_t count[N] = {K, 0, 1, 3};
  float logp[N * K];
  double entropy[N];
  const tensor t = tensor_output(N, K);
  for (int i = 0; i < N * K; i++)
    logp[i] = -0.25F * (float)(1 + i % K * (1 + i / K));
  TENSOR_RUN(type, targets, .count = tensor_ints(count, N, 1),
             .logp = rt_view_of(logp, RT_F32, N, K), .t = tensor_view(&t, type),
             .entropy = tensor_f64(entropy, N, 1), .tau = tau);
  const double bar = type == RT_F64 ? 1e-14 : 6e-8;
  for (int i = 0; i < N; i++) {
    double sum = 0.0, want = 0.0;
    for (int k = 0; k < count[i]; k++)
      sum += exp((double)logp[i * K + k] / tau);
    for (int k = 0; k < K; k++) {
      const double p =
          k < count[i] ? exp((double)logp[i * K + k] / tau) / sum : 0.0;
      want -= p > 0.0 ? p * log(p) : 0.0;
      CU_ASSERT_DOUBLE_EQUAL(tensor_at(&t, type, i, k), p, bar);
    }
    CU_ASSERT_DOUBLE_EQUAL(entropy[i], want, 1e-14);
  }
}

static void test_targets(void)
{
  for (size_t i = 0; i < 2; i++) {
    check_targets(tensor_types[i], 1.0);
    check_targets(tensor_types[i], 2.5);
    check_targets(tensor_types[i], 0.05);
  }
}

RT_TEST_MAIN("merge", {"any shards, any k", test_shards}, {"ties", test_ties},
             {"ties by rounding", test_ties_in_f32}, {"top-p", test_top_p},
             {"-inf", test_impossible}, {"not finite", test_not_finite},
             {"entropy and deviation", test_about},
             {"any number of threads", test_threads},
             {"sizes that do not fit", test_misfits}, {"targets", test_targets})
