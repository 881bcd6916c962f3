/** \file test_trunc_head.c
 *  Entries of a truncating head against the whole softmax in double, on any tp,
 *  any chunk.
 *  ranks: 1 2 4 */
#include "distill/teacher/trunc_head.h"
#include "support/model_side.h"

enum { V = 37 };

/** A model, its rows on the host, and all of its logits. */
typedef struct scene {
  side s;
  int32_t tok[N], pos[N], doc[N], label[N];
  int64_t row[N_ROWS];
  rt_host_rows rows;
  double z[N][V]; // of the true vocabulary
} scene;

/** This rank's tile [N, V_pad / tp]. */
static double *fetch_tile(scene *x, rt_arena **arena, rt_view *tile)
{
  const rt_head head = rt_model_head(x->s.m);
  rt_view hidden;
  RT_OKAY(rt_model_forward(x->s.m, &x->s.in, &hidden));
  RT_OKAY(rt_arena_create("tile", arena));
  RT_OKAY(rt_arena_reserve(*arena, "tile", rt_model_types(x->s.m)->tile, N,
                           head.w.rows, tile));
  RT_OKAY(rt_arena_commit(*arena, rt_dev_memory(x->s.dev)));
  rt_head_logits(x->s.dev, &head, hidden, *tile);
  return fetch(&x->s, *tile);
}

static void read_logits(scene *x)
{
  const rt_head head = rt_model_head(x->s.m);
  rt_arena *arena;
  rt_view tile;
  double *const mine = fetch_tile(x, &arena, &tile);
  const int64_t cols = tile.cols;
  const size_t bytes = (size_t)(N * cols) * sizeof *mine;
  double *const all = malloc(bytes * (size_t)x->s.grid.tp);
  RT_OKAY(rt_comm_allgather(x->s.grid.comm_tp, mine, bytes, all));
  CU_ASSERT_EQUAL(head.vocab, V);
  for (int n = 0; n < N; n++)
    for (int64_t v = 0; v < V; v++)
      x->z[n][v] = all[(v / cols * N + n) * cols + v % cols];
  free(mine);
  free(all);
  rt_arena_destroy(&arena);
}

static void begin(scene *x, const char *device, rt_dtype real)
{
  const rt_arch arch = plain();
  start(&x->s, &arch,
        (setup){.comm = MPI_COMM_WORLD, .device = device, .real = real});
  for (int i = 0; i < N; i++) { // as put_tokens
    x->tok[i] = (5 * i * i + 3) % V;
    x->pos[i] = i % T;
    x->doc[i] = 0;
    x->label[i] = (7 * i + 1) % V;
  }
  x->row[0] = 4;
  x->row[1] = 9;
  x->rows = (rt_host_rows){x->tok, x->pos, x->doc, x->label, x->row, N_ROWS};
  read_logits(x);
}

static rt_trunc_head *new_head(scene *x, rt_truncation rule, int64_t chunk,
                               rt_trunc_use use)
{
  const rt_head head = rt_model_head(x->s.m);
  const rt_trunc_spec spec = {
      .model = x->s.m,
      .grid = &x->s.grid,
      .dev = x->s.dev,
      .rule = rule,
      .chunk_bytes = (double)(chunk * head.w.rows) *
                     (double)rt_dtype_size(rt_model_types(x->s.m)->tile),
      .seq = T,
      .use = use};
  rt_trunc_head *th;
  RT_OKAY(rt_trunc_head_create(&spec, &th));
  RT_OKAY(rt_trunc_head_commit(th));
  return th;
}

/** Room for the micro-batch, with statistics. */
static rt_entries new_entries(int64_t k)
{
  const rt_entries_spec spec = {.n = N, .k = k, .statistics = true};
  rt_entries e;
  RT_OKAY(rt_entries_create(&spec, &e));
  return e;
}

/** Ids of token \a n, likeliest first. */
static void sort_ids(const scene *x, int n, int ids[V])
{
  for (int v = 0; v < V; v++) {
    int at = v;
    for (; at > 0 && x->z[n][ids[at - 1]] < x->z[n][v]; at--)
      ids[at] = ids[at - 1];
    ids[at] = v;
  }
}

/** Log-sum-exp, entropy and standard deviation as one would write them. */
static void plain_numbers(const double *z, double *lse, double *entropy,
                          double *deviation)
{
  double sum = 0.0, mean = 0.0, square = 0.0;
  for (int v = 0; v < V; v++) {
    sum += exp(z[v]);
    mean += z[v] / V;
  }
  *lse = log(sum);
  *entropy = 0.0;
  for (int v = 0; v < V; v++) {
    *entropy -= exp(z[v] - *lse) * (z[v] - *lse);
    square += (z[v] - mean) * (z[v] - mean) / V;
  }
  *deviation = sqrt(square);
}

/** How many of the sorted ids the rule keeps; *near: by rounding one more or
 *  less, which only a limit of the mass can cause. */
static int plain_count(const double *z, const int *ids, double lse,
                       rt_truncation rule, bool *near)
{
  double mass = 0.0;
  int n = 0;
  *near = false;
  if (rule.top_p >= 1.0)
    return rule.top_k < V ? (int)rule.top_k : V;
  while (n < V && n < rule.top_k && !(n > 0 && mass >= rule.top_p)) {
    mass += exp(z[ids[n++]] - lse);
    *near |= fabs(mass - rule.top_p) < 1e-5;
  }
  return n;
}

static void check_token(const scene *x, const rt_entries *e, int n,
                        rt_truncation rule, double tol)
{
  int ids[V];
  double lse, entropy, deviation;
  bool near;
  plain_numbers(x->z[n], &lse, &entropy, &deviation);
  sort_ids(x, n, ids);
  const int count = plain_count(x->z[n], ids, lse, rule, &near);
  CU_ASSERT(near || e->count[n] == count);
  CU_ASSERT_DOUBLE_EQUAL(e->lse[n], lse, tol);
  CU_ASSERT_DOUBLE_EQUAL(e->label_logp[n], x->z[n][x->label[n]] - lse, tol);
  CU_ASSERT_DOUBLE_EQUAL(e->entropy[n], entropy, 10 * tol);
  CU_ASSERT_DOUBLE_EQUAL(e->deviation[n], deviation, 10 * tol);
  for (int i = 0; i < e->count[n] && i < count; i++) {
    const int32_t id = e->ids[n * e->k + i];
    CU_ASSERT_FATAL(id >= 0 && id < V); // no padding
    CU_ASSERT_EQUAL(id, ids[i]);
    CU_ASSERT_DOUBLE_EQUAL(e->logp[n * e->k + i], x->z[n][id] - lse, tol);
  }
}

/** top-k, top-p, both, all; chunks of one token, of some, of all. */
static void check_rules(const char *device, rt_dtype real, double tol,
                        int n_chunks)
{
  static const rt_truncation rules[] = {{1.0, 1}, {1.0, 5},   {0.6, V},
                                        {0.9, 4}, {1e-9, 50}, {1.0, 1000}};
  static const int64_t chunks[] = {3, 1, T, 100};
  static scene x;
  begin(&x, device, real);
  for (size_t r = 0; r < sizeof rules / sizeof rules[0]; r++)
    for (int c = 0; c < n_chunks; c++) {
      const int64_t k = rules[r].top_k < V ? rules[r].top_k : V;
      rt_entries e;
      rt_trunc_head *th = new_head(&x, rules[r], chunks[c], RT_TRUNC_RUN);
      e = new_entries(k);
      RT_OKAY(rt_trunc_head_run(th, &x.rows, &e));
      for (int n = 0; n < N; n++)
        check_token(&x, &e, n, rules[r], tol);
      rt_entries_clear(&e);
      rt_trunc_head_destroy(&th);
      rt_trunc_head_destroy(&th);
    }
  finish(&x.s);
}

static void test_rules(void)
{
  check_rules("cpu", RT_F64, 2e-6, 4); // entries are f32
  check_rules("cpu", RT_F32, 2e-5, 1);
  check_rules("check", RT_F32, 2e-5, 2);
}

/** From tiles that are there already, also such as begin within a row. */
static void test_tiles(void)
{
  static scene x;
  const rt_truncation rule = {0.9, 6};
  rt_arena *arena;
  rt_view tile;
  rt_entries a, b;
  begin(&x, "cpu", RT_F64);
  rt_trunc_head *whole = new_head(&x, rule, 3, RT_TRUNC_RUN);
  rt_trunc_head *takes = new_head(&x, rule, 4, RT_TRUNC_TAKE);
  a = new_entries(6);
  b = new_entries(6);
  free(fetch_tile(&x, &arena, &tile));
  for (int64_t at = 0; at < N; at += 5)
    RT_OKAY(rt_trunc_head_take(takes,
                               rt_view_rows(tile, at, at + 5 < N ? 5 : N - at),
                               &x.rows, at, &b));
  for (int n = 0; n < N; n++)
    check_token(&x, &b, n, rule, 2e-6);
  RT_OKAY(rt_trunc_head_run(whole, &x.rows, &a));
  CU_ASSERT_EQUAL(memcmp(a.count, b.count, N * sizeof *a.count), 0);
  rt_entries_clear(&a);
  rt_entries_clear(&b);
  rt_arena_destroy(&arena);
  rt_trunc_head_destroy(&whole);
  rt_trunc_head_destroy(&takes);
  finish(&x.s);
}

/** Every rank of the group has the same bits. */
static void test_ranks(void)
{
  static scene x;
  rt_entries e;
  begin(&x, "cpu", RT_F32);
  rt_trunc_head *th = new_head(&x, (rt_truncation){0.95, 9}, 4, RT_TRUNC_RUN);
  e = new_entries(9);
  memset(e.ids, 0, N * 9 * sizeof *e.ids); // beyond the count they may differ
  memset(e.logp, 0, N * 9 * sizeof *e.logp);
  RT_OKAY(rt_trunc_head_run(th, &x.rows, &e));
  const size_t bytes = N * 9 * sizeof *e.logp;
  float first[N * 9];
  memcpy(first, e.logp, bytes);
  RT_OKAY(rt_comm_bcast(x.s.comm, first, bytes, 0));
  for (int i = 0; i < N * 9; i++)
    CU_ASSERT_EQUAL(first[i], e.logp[i]);
  rt_entries_clear(&e);
  rt_trunc_head_destroy(&th);
  finish(&x.s);
}

/** Memory of the device for the entries of all tokens. */
static rt_entry_views new_views(const scene *x, int64_t k, rt_arena **arena)
{
  static rt_entry_views v; // must not move before the commit
  RT_OKAY(rt_arena_create("entries", arena));
  RT_OKAY(rt_arena_reserve(*arena, "count", RT_I32, N, 1, &v.count));
  RT_OKAY(rt_arena_reserve(*arena, "ids", RT_I32, N, k, &v.ids));
  RT_OKAY(rt_arena_reserve(*arena, "logp", RT_F32, N, k, &v.logp));
  RT_OKAY(rt_arena_commit(*arena, rt_dev_memory(x->s.dev)));
  return v;
}

/** In the queue: the entries that the host gets, without a wait. */
static void test_queue(void)
{
  enum { K = 7 };
  static scene x;
  rt_arena *arena;
  int32_t count[N], ids[N * K];
  float logp[N * K];
  begin(&x, "check", RT_F32);
  rt_entries e = new_entries(K);
  rt_trunc_head *th = new_head(&x, (rt_truncation){0.95, K}, 4, RT_TRUNC_RUN);
  RT_OKAY(rt_trunc_head_run(th, &x.rows, &e));
  rt_trunc_head_destroy(&th);
  const rt_entry_views v = new_views(&x, K, &arena);
  th = new_head(&x, (rt_truncation){0.95, K}, 4, RT_TRUNC_QUEUE);
  CU_ASSERT_EQUAL(rt_trunc_head_host_bytes(th), 0);
  const int64_t waits = rt_dev_host_waits(x.s.dev);
  RT_OKAY(rt_trunc_head_queue(th, &x.rows, &v));
  CU_ASSERT_EQUAL(rt_dev_host_waits(x.s.dev), waits);
  RT_OKAY(rt_dev_get(x.s.dev, count, v.count));
  RT_OKAY(rt_dev_get(x.s.dev, ids, v.ids));
  RT_OKAY(rt_dev_get(x.s.dev, logp, v.logp));
  CU_ASSERT_EQUAL(memcmp(count, e.count, sizeof count), 0);
  CU_ASSERT_EQUAL(memcmp(ids, e.ids, sizeof ids), 0);
  for (int i = 0; i < N * K; i++)
    CU_ASSERT_EQUAL(logp[i], e.logp[i]);
  rt_entries_clear(&e);
  rt_arena_destroy(&arena);
  rt_trunc_head_destroy(&th);
  finish(&x.s);
}

/** Weights that make no number are named by row and token, at once or by the
 *  next wait. */
static void test_not_finite(void)
{
  static scene x;
  rt_arena *arena;
  rt_entries e;
  begin(&x, "cpu", RT_F32);
  const rt_param *norm =
      rt_params_find(rt_model_params(x.s.m), "model.norm.weight");
  CU_ASSERT_PTR_NOT_NULL_FATAL(norm);
  double bad[64];
  for (int i = 0; i < 64; i++)
    bad[i] = NAN;
  store(&x.s, norm->w, bad);
  rt_trunc_head *th = new_head(&x, (rt_truncation){1.0, 3}, 4, RT_TRUNC_RUN);
  e = new_entries(3);
  RT_FAILS(rt_trunc_head_run(th, &x.rows, &e), RT_ERR_DATA,
           "the teacher's logits of row 4, token 0 are not finite");
  rt_entries_clear(&e);
  rt_trunc_head_destroy(&th);
  if (x.s.grid.tp == 1) { // exchanges of ranks wait
    const rt_entry_views v = new_views(&x, 3, &arena);
    th = new_head(&x, (rt_truncation){1.0, 3}, 4, RT_TRUNC_QUEUE);
    RT_OKAY(rt_trunc_head_queue(th, &x.rows, &v));
    RT_FAILS(rt_dev_sync(x.s.dev), RT_ERR_DATA,
             "the teacher's logits of row 4, token 0 are not finite");
    rt_arena_destroy(&arena);
    rt_trunc_head_destroy(&th);
  }
  finish(&x.s);
}

RT_TEST_MAIN("trunc_head", {"top-p, top-k, both", test_rules},
             {"tiles that are there", test_tiles},
             {"the same on all ranks", test_ranks},
             {"in the queue", test_queue},
             {"numbers that are none", test_not_finite})
