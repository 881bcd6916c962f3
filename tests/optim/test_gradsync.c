/** \file test_gradsync.c
 *  Gradient buckets summed over dp while backward goes on.
 *  ranks: 1 2 3 4 */
#include "optim/gradsync.h"
#include "support/param_set.h"

static int n_ranks(void)
{
  int n;
  MPI_Comm_size(MPI_COMM_WORLD, &n);
  return n;
}

/** Small whole numbers: their sums are exact in any order. */
static double element(int i, int64_t row, int64_t col, int salt)
{
  return (double)((i * 5 + row * 3 + col * 7 + salt) % 23) - 11.0;
}

static bool has_replicas(const rt_param *t)
{
  return t->split == RT_SPLIT_KV && t->n_replicas > 1;
}

/** Which of the replicas of a kv head this rank is. */
static int i_replica(const set *s)
{
  return s->p.comm_kv != NULL ? rt_comm_rank(s->p.comm_kv) : 0;
}

/** This rank's part of a bucket's gradients, as the backward leaves it. */
static void put_parts(const set *s, int bucket)
{
  for (int i = 0; i < s->p.n; i++) {
    const rt_param *t = &s->p.item[i];
    if (t->bucket == bucket)
      set_put(s, i, t->g, element, 0,
              (s->grid.i_dp + 1.0) *
                  (has_replicas(t) ? i_replica(s) + 1.0 : 1.0));
  }
}

static double triangle(int n)
{
  return n * (n + 1) / 2.0;
}

static void check_sums(const set *s)
{
  for (int i = 0; i < s->p.n; i++) {
    const rt_param *t = &s->p.item[i];
    const double factor = triangle(s->grid.dp) *
                          (has_replicas(t) ? triangle(t->n_replicas) : 1.0);
    const rt_parts parts = rt_param_parts(&s->p, i, &t->g);
    int64_t row0, n;
    rt_parts_rows(&parts, s->grid.dp, s->grid.i_dp, &row0, &n);
    double *g = set_get(s, t->g);
    int n_bad = 0;
    for (int64_t r = row0; r < row0 + n && r < t->n_rows; r++)
      for (int64_t c = 0; c < t->n_cols; c++)
        n_bad += g[r * t->n_cols + c] !=
                 factor * element(i, t->row0 + r, t->col0 + c, 0);
    CU_ASSERT_EQUAL(n_bad, 0);
    if (n_bad > 0)
      fprintf(stderr, "%s: %d wrong sums\n", t->name, n_bad);
    free(g);
  }
}

/** The order of a backward: last bucket first, the embedding's at the end. */
static void sums(set_spec how)
{
  set s;
  rt_gradsync *gs;
  set_start(&s, how);
  RT_OKAY(rt_gradsync_create(&s.p, s.dev, &gs));
  for (int step = 0; step < 2; step++) {
    for (int b = s.p.n_buckets - 1; b >= 0; b--) {
      put_parts(&s, b);
      RT_OKAY(rt_gradsync_bucket(gs, b));
      CU_ASSERT_EQUAL(rt_gradsync_started(gs), s.p.n_buckets - b);
      rt_comm_progress();
    }
    RT_OKAY(rt_gradsync_finish(gs));
    CU_ASSERT_EQUAL(rt_gradsync_started(gs), 0);
    check_sums(&s);
  }
  rt_gradsync_destroy(&gs);
  CU_ASSERT_PTR_NULL(gs);
  rt_gradsync_destroy(&gs);
  set_finish(&s);
}

static void test_sums(void)
{
  for (int tp = 1; tp <= n_ranks(); tp++)
    for (int64_t heads = 1; n_ranks() % tp == 0 && tp != 3 && heads <= 4;
         heads *= 2) { // the set has 4 heads
      sums((set_spec){MPI_COMM_WORLD, tp, "cpu", RT_F32, heads, true});
      sums((set_spec){MPI_COMM_WORLD, tp, "check", RT_F64, heads, true});
    }
}

/** The first element of this rank's rows in a bucket. */
static double own_element(const set *s, int bucket)
{
  for (int i = 0; i < s->p.n; i++) {
    const rt_param *t = &s->p.item[i];
    const rt_parts parts = rt_param_parts(&s->p, i, &t->g);
    int64_t row0, n;
    rt_parts_rows(&parts, s->grid.dp, s->grid.i_dp, &row0, &n);
    double x;
    if (t->bucket != bucket || n == 0)
      continue;
    RT_OKAY(rt_dev_get(s->dev, &x,
                       rt_view_cols(rt_view_rows(t->g, row0, 1), 0, 1)));
    return x;
  }
  return NAN;
}

/** A start comes after what was launched before it, and the host waits for
 *  nothing. */
static void test_order(void)
{
  set s;
  rt_gradsync *gs;
  set_start(&s, (set_spec){MPI_COMM_WORLD, 1, "check", RT_F64, 4, true});
  RT_OKAY(rt_gradsync_create(&s.p, s.dev, &gs));
  const int last = s.p.n_buckets - 1;
  const rt_view mine = s.p.bucket_grad[last], next = s.p.bucket_grad[last - 1];
  const int64_t waits = rt_dev_host_waits(s.dev);
  RT_RUN(s.dev, fill, .y = mine, .value = 2.0);
  RT_OKAY(rt_gradsync_bucket(gs, last));
  RT_RUN(s.dev, fill, .y = next, .value = 3.0);
  for (int b = last - 1; b >= 0; b--)
    RT_OKAY(rt_gradsync_bucket(gs, b));
  RT_OKAY(rt_gradsync_finish(gs));
  CU_ASSERT_EQUAL(((double *)mine.data)[0], 0.0); // all in the queue
  CU_ASSERT_EQUAL(((double *)next.data)[0], 0.0);
  CU_ASSERT_EQUAL(rt_dev_host_waits(s.dev), waits);
  RT_OKAY(rt_dev_sync(s.dev));
  // each rank has some rows of a block; the last bucket has two tensors
  if (n_ranks() <= 2)
    CU_ASSERT_EQUAL(own_element(&s, last), 2.0 * n_ranks());
  CU_ASSERT_EQUAL(own_element(&s, last - 1), 3.0 * n_ranks());
  rt_gradsync_destroy(&gs);
  set_finish(&s);
}

static void test_misuse(void)
{
  set s;
  rt_gradsync *gs;
  set_start(&s, (set_spec){MPI_COMM_WORLD, 1, "cpu", RT_F32, 4, true});
  RT_OKAY(rt_gradsync_create(&s.p, s.dev, &gs));
  RT_OKAY(rt_gradsync_finish(gs)); // none is all right
  RT_OKAY(rt_gradsync_bucket(gs, 1));
  RT_FAILS(rt_gradsync_bucket(gs, 1), RT_ERR_INTERNAL, "bucket 1 is started");
  RT_FAILS(rt_gradsync_finish(gs), RT_ERR_INTERNAL, "only 1 of 4");
  for (int b = 0; b < s.p.n_buckets; b++)
    if (b != 1)
      RT_OKAY(rt_gradsync_bucket(gs, b));
  RT_OKAY(rt_gradsync_finish(gs));
  rt_gradsync_destroy(&gs);
  set_finish(&s);
  set_start(&s, (set_spec){MPI_COMM_WORLD, 1, "cpu", RT_F32, 4, false});
  RT_FAILS(rt_gradsync_create(&s.p, s.dev, &gs), RT_ERR_INTERNAL,
           "no gradients");
  set_finish(&s);
}

RT_TEST_MAIN("gradsync", {"sums over dp and over replicas", test_sums},
             {"a start waits for its own work only", test_order},
             {"twice, or not all", test_misuse})
