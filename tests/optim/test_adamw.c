/** \file test_adamw.c
 *  AdamW, sharded and not.
 *  ranks: 1 2 3 4 */
#include "base/rng.h"
#include "optim/adamw.h"
#include "support/param_set.h"

enum { N_UPDATES = 3 };

static const rt_adamw_spec spec = {
    .beta1 = 0.9, .beta2 = 0.95, .eps = 1e-8, .weight_decay = 0.1};

static int n_ranks(void)
{
  int n;
  MPI_Comm_size(MPI_COMM_WORLD, &n);
  return n;
}

static double element(int i, int64_t row, int64_t col, int salt)
{
  return rt_rng_normal(3, RT_RNG_TEST,
                       (uint64_t)salt << 48 | (uint64_t)i << 24 | (uint64_t)row,
                       (uint64_t)col);
}

static void put_all(const set *s, int salt)
{
  for (int i = 0; i < s->p.n; i++)
    set_put(s, i, salt == 0 ? s->p.item[i].w : s->p.item[i].g, element, salt,
            1.0);
}

typedef struct run {
  set s;
  rt_adamw *opt;
} run;

static void run_start(run *x, set_spec how, rt_adamw_spec with)
{
  set_start(&x->s, how);
  RT_OKAY(rt_adamw_create(&x->s.p, x->s.dev, &with, &x->opt));
  RT_OKAY(rt_adamw_commit(x->opt));
  put_all(&x->s, 0);
}

static void run_finish(run *x)
{
  rt_adamw_destroy(&x->opt);
  CU_ASSERT_PTR_NULL(x->opt);
  rt_adamw_destroy(&x->opt);
  set_finish(&x->s);
}

static void put_step(run *x, int t)
{
  const k_adamw_step step = {.lr = 0.01 / t,
                             .grad_scale = 1.0 / (1.0 + t),
                             .bias1 = 1.0 - pow(spec.beta1, t),
                             .bias2 = 1.0 - pow(spec.beta2, t)};
  RT_OKAY(rt_dev_put(x->s.dev, rt_adamw_step(x->opt), &step));
}

static void update(run *x, int t)
{
  put_all(&x->s, t);
  put_step(x, t);
  RT_OKAY(rt_adamw_update(x->opt));
  RT_OKAY(rt_params_arrive_all(&x->s.p));
}

/** Elements of tile \a b that differ from the whole tensor in \a a. */
static int n_different(const run *a, const run *b, int i)
{
  const rt_param *t = &b->s.p.item[i];
  double *whole = set_get(&a->s, a->s.p.item[i].w);
  double *tile = set_get(&b->s, t->w);
  int n_bad = 0;
  for (int64_t r = 0; r < t->n_rows; r++)
    for (int64_t c = 0; c < t->n_cols; c++)
      n_bad += tile[r * t->n_cols + c] !=
               whole[(t->row0 + r) * t->cols + t->col0 + c];
  free(whole);
  free(tile);
  return n_bad;
}

/** The same updates on one rank alone and on dp x tp: the same bits. */
static void layout(int tp, const char *device, rt_dtype real, int64_t heads)
{
  run alone, all;
  run_start(&alone, (set_spec){MPI_COMM_SELF, 1, "cpu", real, heads, true},
            spec);
  run_start(&all, (set_spec){MPI_COMM_WORLD, tp, device, real, heads, true},
            spec);
  for (int t = 1; t <= N_UPDATES; t++) {
    update(&alone, t);
    update(&all, t);
  }
  for (int i = 0; i < all.s.p.n; i++) {
    const int n_bad = n_different(&alone, &all, i);
    CU_ASSERT_EQUAL(n_bad, 0);
    if (n_bad > 0)
      fprintf(stderr, "%s, tp %d: %d differ\n", all.s.p.item[i].name, tp,
              n_bad);
  }
  run_finish(&all);
  run_finish(&alone);
}

static void test_layouts(void)
{
  for (int tp = 1; tp <= n_ranks(); tp++) {
    if (n_ranks() % tp != 0 || tp == 3) // the set has 4 heads
      continue;
    layout(tp, "cpu", RT_F32, 4);
    layout(tp, "check", RT_F32, 1);
    layout(tp, "check", RT_F64, 2);
  }
}

/** Loshchilov & Hutter, algorithm 2, one element at a time. */
static double by_hand(int i, int64_t row, int64_t col, double decay)
{
  double p = element(i, row, col, 0), m = 0.0, v = 0.0;
  for (int t = 1; t <= N_UPDATES; t++) {
    const double lr = 0.01 / t;
    const double g = element(i, row, col, t) / (1.0 + t);
    p -= lr * decay * p;
    m = spec.beta1 * m + (1.0 - spec.beta1) * g;
    v = spec.beta2 * v + (1.0 - spec.beta2) * g * g;
    p -= lr * (m / (1.0 - pow(spec.beta1, t))) /
         (sqrt(v / (1.0 - pow(spec.beta2, t))) + spec.eps);
  }
  return p;
}

/** Largest difference to the formula, of all tensors. */
static double worst_error(const run *x, bool decay_all)
{
  double worst = 0.0;
  for (int i = 0; i < x->s.p.n; i++) {
    const rt_param *t = &x->s.p.item[i];
    const bool decays = decay_all || !t->vector;
    double *w = set_get(&x->s, t->w);
    for (int64_t r = 0; r < t->n_rows; r++)
      for (int64_t c = 0; c < t->n_cols; c++)
        worst = fmax(worst, fabs(w[r * t->n_cols + c] -
                                 by_hand(i, t->row0 + r, t->col0 + c,
                                         decays ? spec.weight_decay : 0.0)));
    free(w);
  }
  return worst;
}

static void test_formula(void)
{
  for (int decay_all = 0; decay_all < 2; decay_all++) {
    rt_adamw_spec with = spec;
    with.decay_all = decay_all != 0;
    run x;
    run_start(&x, (set_spec){MPI_COMM_WORLD, 1, "check", RT_F64, 4, true},
              with);
    for (int t = 1; t <= N_UPDATES; t++)
      update(&x, t);
    CU_ASSERT(worst_error(&x, with.decay_all) < 1e-14);
    CU_ASSERT(worst_error(&x, !with.decay_all) > 1e-5); // it matters
    run_finish(&x);
  }
}

/** An update waits for no other rank: rank 0 is through before the others
 *  begin, and only who needs a bucket waits for its weights. */
static void test_update_waits_for_nobody(void)
{
  run alone, all;
  run_start(&alone, (set_spec){MPI_COMM_SELF, 1, "cpu", RT_F32, 4, true}, spec);
  run_start(&all, (set_spec){MPI_COMM_WORLD, 1, "cpu", RT_F32, 4, true}, spec);
  update(&alone, 1);
  update(&all, 1); // the first one sets up the shared memory
  update(&alone, 2);
  put_all(&all.s, 2);
  if (all.s.grid.rank != 0)
    MPI_Barrier(MPI_COMM_WORLD);
  put_step(&all, 2);
  RT_OKAY(rt_adamw_update(all.opt));
  if (all.s.grid.rank == 0)
    MPI_Barrier(MPI_COMM_WORLD);
  for (int b = 0; b < all.s.p.n_buckets; b++) {
    RT_OKAY(rt_params_arrive(&all.s.p, b));
    for (int i = 0; i < all.s.p.n; i++)
      if (all.s.p.item[i].bucket == b)
        CU_ASSERT_EQUAL(n_different(&alone, &all, i), 0);
  }
  run_finish(&all);
  run_finish(&alone);
}

/** Each row of each tile has one rank of dp that keeps its states. */
static void test_shards(void)
{
  for (int tp = 1; tp <= n_ranks(); tp++) {
    if (n_ranks() % tp != 0 || tp == 3) // the set has 4 heads
      continue;
    run x;
    run_start(&x, (set_spec){MPI_COMM_WORLD, tp, "cpu", RT_F32, 4, true}, spec);
    const rt_comm *dp = x.s.grid.comm_dp;
    for (int i = 0; i < x.s.p.n; i++) {
      const rt_param *t = &x.s.p.item[i];
      const rt_adamw_shard *mine = rt_adamw_shard_of(x.opt, i);
      CU_ASSERT(mine->m.rows == mine->n && mine->v.rows == mine->n);
      CU_ASSERT(mine->m.cols == t->n_cols && mine->v.cols == t->n_cols);
      const int64_t place[2] = {mine->row0, mine->n};
      int64_t places[8];
      int n_owners[64] = {0}; // of each row
      RT_OKAY(rt_comm_allgather(dp, place, sizeof place, places));
      for (int r = 0; r < x.s.grid.dp; r++) {
        // at most ceil(rows / dp)
        CU_ASSERT((places[2 * r + 1] - 1) * x.s.grid.dp < t->w.rows);
        for (int64_t row = 0; row < places[2 * r + 1]; row++)
          n_owners[places[2 * r] + row]++;
      }
      for (int64_t row = 0; row < t->w.rows; row++)
        CU_ASSERT_EQUAL(n_owners[row], 1);
    }
    // a share of the memory: twice the parameters, over dp
    const double full = 2.0 * 4.0 * (double)rt_params_n_local(&x.s.p);
    CU_ASSERT((double)rt_arena_bytes(rt_adamw_arena(x.opt)) <
              full / x.s.grid.dp + 128.0 * (double)(x.s.p.n + 4) +
                  64.0 * 4.0 * (double)x.s.p.n); // a row more of each
    run_finish(&x);
  }
}

/** Of the whole model, every element once. */
static double norm_by_hand(int salt)
{
  set s;
  set_start(&s, (set_spec){MPI_COMM_SELF, 1, "cpu", RT_F64, 1, true});
  double sum = 0.0;
  for (int i = 0; i < s.p.n; i++)
    for (int64_t r = 0; r < s.p.item[i].rows; r++)
      for (int64_t c = 0; c < s.p.item[i].cols; c++)
        sum += pow(element(i, r, c, salt), 2.0);
  set_finish(&s);
  return sqrt(sum);
}

/** The norm, which must be the same bits on all ranks. */
static double norm_of(run *x)
{
  double norm = 0.0, of_rank[4];
  uint64_t bits, all[4]; // NaN is not equal to itself
  rt_view squares;
  RT_OKAY(rt_adamw_squares(x->opt, &squares));
  RT_OKAY(rt_dev_get(x->s.dev, of_rank, squares));
  for (int r = 0; r < x->s.grid.n_ranks; r++)
    norm += of_rank[r];
  norm = sqrt(norm);
  memcpy(&bits, &norm, sizeof bits);
  RT_OKAY(rt_comm_allgather(x->s.grid.world, &bits, sizeof bits, all));
  for (int r = 0; r < x->s.grid.n_ranks; r++)
    CU_ASSERT_EQUAL(all[r], bits);
  return norm;
}

static void test_norm(void)
{
  const double want = norm_by_hand(1);
  for (int tp = 1; tp <= n_ranks(); tp++) {
    if (n_ranks() % tp != 0 || tp == 3) // the set has 4 heads
      continue;
    run x; // one kv head: replicas, which count once
    run_start(&x, (set_spec){MPI_COMM_WORLD, tp, "check", RT_F64, 1, true},
              spec);
    put_all(&x.s, 1);
    CU_ASSERT(fabs(norm_of(&x) / want - 1.0) < 1e-14);
    run_finish(&x);
  }
}

/** One bad element anywhere reaches all ranks. */
static void test_bad_numbers(void)
{
  const double bad[] = {NAN, INFINITY};
  for (int kind = 0; kind < 2; kind++)
    for (int where = 0; where < 3; where++) {
      run x;
      run_start(&x,
                (set_spec){MPI_COMM_WORLD, n_ranks() == 4 ? 2 : 1, "check",
                           RT_F32, 4, true},
                spec);
      put_all(&x.s, 1);
      // in every copy of it, as after the sum over dp
      const int i = where == 0 ? 0 : where == 1 ? x.s.p.n / 2 : x.s.p.n - 1;
      const rt_view g = x.s.p.item[i].g;
      RT_RUN(x.s.dev, fill,
             .y = rt_view_cols(rt_view_rows(g, g.rows - 1, 1), 0, 1),
             .value = bad[kind]);
      const double norm = norm_of(&x);
      CU_ASSERT(kind == 0 ? isnan(norm) : isinf(norm));
      run_finish(&x);
    }
}

static void test_without_gradients(void)
{
  set s;
  rt_adamw *opt;
  set_start(&s, (set_spec){MPI_COMM_WORLD, 1, "cpu", RT_F32, 4, false});
  RT_FAILS(rt_adamw_create(&s.p, s.dev, &spec, &opt), RT_ERR_INTERNAL,
           "has no gradient");
  rt_adamw_destroy(&opt);
  set_finish(&s);
}

RT_TEST_MAIN("adamw", {"any layout, the same bits", test_layouts},
             {"the formula, and what decays", test_formula},
             {"an update waits for nobody", test_update_waits_for_nobody},
             {"every row in one shard", test_shards},
             {"norm of the whole model", test_norm},
             {"NaN and Inf reach all ranks", test_bad_numbers},
             {"parameters without gradients", test_without_gradients})
