/** \file test_drawn.c
 *  Draws from the softmax on any shards, and their entries, against the whole
 *  row in double.
 *  ranks: 1 */
#include "support/tensor.h"

enum { N = 5, V = 41, MOST = 300, MOST_SHARDS = 3, SEED = 11 };
static const int64_t row = (INT64_C(1) << 40) + 3, tok0 = 17;

/** What the kernels make of N tokens. */
typedef struct drawn {
  rt_view stats, ids; // of all shards
  double u[N * MOST];
  int32_t count[N], best[N * MOST];
  float logp[N * MOST];
  k_about about[N];
} drawn;

static rt_view of_shard(rt_view all, int i)
{
  const rt_view at = rt_view_rows(all, i, 1);
  return rt_view_of(at.data, at.dtype, N, at.cols / N);
}

/** Ids [v0, v1) of all rows, the statistics of which are made here. */
static rt_view tile_of(const tensor *z, int64_t v0, int64_t v1)
{
  return rt_view_cols(tensor_view(z, RT_F64), v0, v1 - v0);
}

static void find_statistics(const tensor *z, int64_t v0, int64_t v1,
                            rt_view stats)
{
  static double top[N];
  static int32_t id[N], label[N];
  const rt_view tile = tile_of(z, v0, v1);
  TENSOR_RUN(RT_F64, topk, .z = tile, .label = tensor_ints(label, N, 1),
             .ids = tensor_ints(id, N, 1), .top = tensor_f64(top, N, 1),
             .stats = stats, .v0 = v0, .v_true = z->cols);
}

/** \a n draws of each token on shards that begin at multiples of \a tile. */
static void draw(const tensor *z, int n_shards, int64_t tile, int64_t n,
                 drawn *x)
{
  x->stats = rt_view_of(
      tensor_memory((size_t)n_shards * N * K_N_STAT * sizeof(double)), RT_F64,
      n_shards, N * K_N_STAT);
  x->ids = rt_view_of(
      tensor_memory((size_t)n_shards * N * (size_t)n * sizeof(int32_t)), RT_I32,
      n_shards, N * n);
  for (int i = 0; i < n_shards; i++)
    find_statistics(z, i * tile, i < n_shards - 1 ? (i + 1) * tile : z->cols,
                    of_shard(x->stats, i));
  for (int i = 0; i < n_shards; i++) {
    const rt_view u = tensor_f64(x->u, N, n);
    TENSOR_RUN(RT_F64, draw_numbers, .stats = x->stats, .u = u, .seed = SEED,
               .row = row, .tok0 = tok0, .shard = i);
    for (int64_t d = 0; d < N * n; d++) // as draw takes them
      CU_ASSERT(d % n == 0 || x->u[d] < 0.0 || x->u[d - 1] <= x->u[d]);
    TENSOR_RUN(
        RT_F64, draw,
        .z = tile_of(z, i * tile, i < n_shards - 1 ? (i + 1) * tile : z->cols),
        .stats = of_shard(x->stats, i), .u = u, .ids = of_shard(x->ids, i),
        .v0 = i * tile, .v_true = z->cols);
  }
  TENSOR_RUN(RT_F64, merge_draws, .stats = x->stats, .ids = x->ids,
             .count = tensor_ints(x->count, N, 1),
             .best = tensor_ints(x->best, N, n),
             .logp = rt_view_of(x->logp, RT_F32, N, n),
             .about = tensor_f64(&x->about[0].lse, N, K_N_ABOUT),
             .of = {.finite = true});
}

/** How often each id of token \a i is drawn, by definition: a draw is the first
 *  id at which the cumulative softmax exceeds its number. */
static void count_plainly(const tensor *z, int i, int64_t n, int64_t *times)
{
  double sum = 0.0;
  memset(times, 0, V * sizeof *times);
  for (int64_t v = 0; v < z->cols; v++)
    sum += exp(tensor_at(z, RT_F64, i, v));
  for (int64_t d = 0; d < n; d++) {
    const double u = rt_rng_uniform(SEED, RT_RNG_DRAW, (uint64_t)row,
                                    (uint64_t)((tok0 + i) * n + d));
    double below = 0.0;
    int64_t v = -1;
    while (v < z->cols - 1 && below <= u)
      below += exp(tensor_at(z, RT_F64, i, ++v)) / sum;
    times[v]++;
  }
}

static void check(const tensor *z, int64_t n, const drawn *x)
{
  for (int i = 0; i < N; i++) {
    int64_t times[V], left = n;
    count_plainly(z, i, n, times);
    const int32_t *const ids = x->best + i * n;
    const float *const logp = x->logp + i * n;
    for (int32_t k = 0; k < x->count[i]; k++) {
      CU_ASSERT_FATAL(ids[k] >= 0 && ids[k] < z->cols);
      CU_ASSERT_EQUAL(logp[k], (float)log((double)times[ids[k]] / (double)n));
      left -= times[ids[k]];
      times[ids[k]] = 0; // each id once
      CU_ASSERT(k == 0 || logp[k - 1] > logp[k] ||
                (logp[k - 1] == logp[k] && ids[k - 1] < ids[k]));
    }
    CU_ASSERT_EQUAL(left, 0); // all draws
    for (int64_t k = x->count[i]; k < n; k++)
      CU_ASSERT(ids[k] == -1 && logp[k] == -INFINITY);
  }
}

/** One draw or more than there are ids, on one shard, shards of unequal width
 *  and one of a single id. */
static void test_shards(void)
{
  const int64_t draws[] = {1, 7, 50, MOST};
  const int64_t tiles[MOST_SHARDS][2] = {{V, V}, {20, 40}, {15, 1}};
  static drawn x;
  for (int n_shards = 1; n_shards <= MOST_SHARDS; n_shards++)
    for (int t = 0; t < 2; t++)
      for (int d = 0; d < 4; d++) {
        tensor_reset();
        const tensor z = tensor_random(N, V, 3);
        draw(&z, n_shards, tiles[n_shards - 1][t], draws[d], &x);
        check(&z, draws[d], &x);
      }
}

/** A vocabulary of one id; one id that has all probability; ids that have
 *  none. */
static void test_edges(void)
{
  static drawn x;
  tensor_reset();
  const tensor one = tensor_random(N, 1, 3);
  draw(&one, 1, 1, 9, &x);
  for (int i = 0; i < N; i++)
    CU_ASSERT(x.count[i] == 1 && x.best[9 * i] == 0 && x.logp[9 * i] == 0.0F);
  tensor z = tensor_random(N, V, 3);
  tensor_set(&z, 1, 30, 300.0);
  for (int64_t v = 0; v < V; v++)
    if (v != 5 && v != 39)
      tensor_set(&z, 2, v, v < 15 || v > 30 ? -INFINITY : -900.0);
  draw(&z, 3, 15, 50, &x);
  check(&z, 50, &x);
  CU_ASSERT(x.count[1] == 1 && x.best[50] == 30);
  CU_ASSERT(x.count[2] == 2 && x.best[100] + x.best[101] == 5 + 39);
  for (int64_t v = 15; v < V; v++) // of three shards only the first is possible
    tensor_set(&z, 2, v, -INFINITY);
  draw(&z, 3, 15, 50, &x);
  check(&z, 50, &x);
  CU_ASSERT(x.count[2] == 1 && x.best[100] == 5);
}

/** Numbers are a function of seed, row and token, not of where a call begins.
 */
static void test_numbers(void)
{
  enum { DRAWS = 6 };
  tensor_reset();
  double all[N * DRAWS], part[DRAWS], other[DRAWS];
  double s[N * K_N_STAT];
  for (int i = 0; i < N; i++) {
    memset(s + i * K_N_STAT, 0, K_N_STAT * sizeof *s);
    s[i * K_N_STAT + K_STAT_MAX] = 1.5;
    s[i * K_N_STAT + K_STAT_SUM] = 3.0;
  }
  const k_draw_numbers_args a = {.stats = tensor_f64(s, 1, N * K_N_STAT),
                                 .u = tensor_f64(all, N, DRAWS),
                                 .seed = SEED,
                                 .row = row,
                                 .tok0 = 2};
  tensor_run_on(3, K_draw_numbers, RT_F64, &a);
  for (int i = 0; i < N; i++) {
    k_draw_numbers_args b = a;
    b.stats = tensor_f64(s + i * K_N_STAT, 1, K_N_STAT);
    b.u = tensor_f64(part, 1, DRAWS);
    b.tok0 = 2 + i;
    tensor_run_on(1, K_draw_numbers, RT_F64, &b);
    CU_ASSERT(tensor_same_bits(part, all + i * DRAWS, sizeof part));
    CU_ASSERT(part[0] >= 0.0 && part[DRAWS - 1] < 3.0);
    b.u = tensor_f64(other, 1, DRAWS);
    b.row = row + 1;
    tensor_run_on(1, K_draw_numbers, RT_F64, &b);
    CU_ASSERT(!tensor_same_bits(part, other, sizeof part));
    b.row = row;
    b.seed = SEED + 1;
    tensor_run_on(1, K_draw_numbers, RT_F64, &b);
    CU_ASSERT(!tensor_same_bits(part, other, sizeof part));
  }
}

/** Where rounding leaves a sum of probabilities below 1, the last shard that
 *  has any takes the draws behind it: \a n_shards, of which the second is. */
static void check_rounding(int n_shards)
{
  enum { DRAWS = 300 };
  static double u[N * DRAWS];
  double s[3 * N * K_N_STAT] = {0};
  int n_above = 0;
  for (int i = 0; i < N; i++) // masked
    s[(2 * N + i) * K_N_STAT + K_STAT_MAX] = -INFINITY;
  for (int i = 0; i < N; i++) { // log-sum-exps near 1e14 are rounded to 1 / 64
    s[i * K_N_STAT + K_STAT_MAX] = s[(N + i) * K_N_STAT + K_STAT_MAX] = 1e14;
    s[i * K_N_STAT + K_STAT_SUM] = 1.0;
    s[(N + i) * K_N_STAT + K_STAT_SUM] = 2.0575; // log 3.0575 is rounded up
  }
  const rt_view stats = tensor_f64(s, n_shards, N * K_N_STAT);
  TENSOR_RUN(RT_F64, draw_numbers, .stats = stats, .u = tensor_f64(u, N, DRAWS),
             .seed = SEED, .shard = 1);
  for (int i = 0; i < N; i++) {
    n_above += u[(i + 1) * DRAWS - 1] >= 2.0575;
    for (int d = 1; d < DRAWS; d++)
      CU_ASSERT(u[i * DRAWS + d] >= u[i * DRAWS + d - 1]);
  }
  CU_ASSERT(n_above > 0);
  if (n_shards < 3)
    return;
  TENSOR_RUN(RT_F64, draw_numbers, .stats = stats, .u = tensor_f64(u, N, DRAWS),
             .seed = SEED, .shard = 2);
  for (int i = 0; i < N * DRAWS; i++)
    CU_ASSERT_EQUAL(u[i], -1.0);
}

static void test_rounding(void)
{
  check_rounding(2);
  check_rounding(3);
}

static rt_err try(k_id kernel, const void *args)
{
  k_ctx ctx = tensor_ctx(2);
  k_table_cpu()[kernel].fn[K_SET_F64](&ctx, args);
  return ctx.err;
}

/** Logits that are no numbers crash nothing, and are an error where they must
 *  not be. */
static void test_not_finite(void)
{
  static drawn x;
  tensor_reset();
  const tensor z = tensor_random(N, V, 3);
  draw(&z, 2, 20, 9, &x);
  ((double *)x.stats.data)[3 * K_N_STAT + K_STAT_SUM] = NAN;
  double u[N * 9];
  TENSOR_RUN(RT_F64, draw_numbers, .stats = x.stats, .u = tensor_f64(u, N, 9));
  const k_merge_draws_args a = {.stats = x.stats,
                                .ids = x.ids,
                                .count = tensor_ints(x.count, N, 1),
                                .best = tensor_ints(x.best, N, 9),
                                .logp = rt_view_of(x.logp, RT_F32, N, 9),
                                .of = {.row = 4, .tok0 = 6, .finite = true}};
  RT_FAILS(try(K_merge_draws, &a), RT_ERR_DATA,
           "logits of row 4, token 9 are not finite");
  k_merge_draws_args wrong = a;
  wrong.ids.cols = N * 8;
  RT_FAILS(try(K_merge_draws, &wrong), RT_ERR_INTERNAL, "for 5 tokens");
}

RT_TEST_MAIN("drawn", {"any shards", test_shards}, {"edges", test_edges},
             {"numbers", test_numbers}, {"rounding", test_rounding},
             {"not finite", test_not_finite})
