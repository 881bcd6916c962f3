/** \file test_queues.c
 *  Steps on a device that lags behind the host: the bits of the CPU, no wait of
 *  the host, and each wait of a queue is needed.
 *  ranks: 1 2 4 */
#include "dev/device_impl.h"
#include "support/train_scene.h"

#include "base/hash.h"
#include <stdlib.h>

enum { N_STEPS = 2 };

/** What comes of a run. */
typedef struct outcome {
  double loss[N_STEPS], norm[N_STEPS];
  uint64_t weights; // hash of this rank's tiles
  rt_err err;
  int64_t n_edges;
  rt_step_counts counts;
} outcome;

static uint64_t hash_of_weights(const train_scene *x)
{
  const rt_params *const p = rt_model_params(x->tr->model);
  uint64_t all[2] = {0};
  RT_OKAY(rt_params_arrive_all(p));
  for (int i = 0; i < p->n; i++) {
    const size_t bytes = rt_view_bytes(&p->item[i].w);
    char *const w = malloc(bytes + 1);
    CU_ASSERT_PTR_NOT_NULL_FATAL(w);
    if (bytes > 0)
      RT_OKAY(rt_dev_get(x->dev, w, p->item[i].w));
    all[1] = rt_hash_xxh3(w, bytes);
    all[0] = rt_hash_xxh3(all, sizeof all);
    free(w);
  }
  return all[0];
}

static rt_err take(const train_scene *x, int i, outcome *out)
{
  rt_step_result r;
  RT_TRY(rt_trainer_result(x->tr, &r));
  out->loss[i] = r.loss;
  out->norm[i] = r.grad_norm;
  return RT_OK;
}

/** How a device goes on. */
typedef struct order {
  bool kernels_last;
  int64_t lost; // wait of the steps that is left out; 0: none
} order;

/** Steps of a new trainer; results are taken as late as they may be. */
static outcome run(train_scene *x, const train_setup *how, order by)
{
  rt_trainer_spec spec = train_spec(x, how);
  outcome out = {0};
  spec.loss.chunk_bytes = 1e6; // one chunk: others have the same waits
  RT_OKAY(rt_trainer_create(&spec, &x->tr));
  RT_OKAY(rt_trainer_commit(x->tr));
  RT_OKAY(rt_trainer_seek(x->tr, 0));
  const int64_t lag = rt_trainer_lag(x->tr), before = x->dev->n_edges;
  x->dev->kernels_last = by.kernels_last;
  x->dev->lost_edge = by.lost > 0 ? before + by.lost : 0;
  for (int i = 0; out.err == RT_OK && i < N_STEPS + lag; i++) {
    if (i < N_STEPS)
      RT_OKAY(rt_trainer_step(x->tr, i));
    if (i >= lag)
      out.err = take(x, i - (int)lag, &out);
  }
  out.weights = hash_of_weights(x);
  out.n_edges = x->dev->n_edges - before;
  out.counts = rt_trainer_counts(x->tr);
  RT_OKAY(rt_dev_sync(x->dev));
  rt_trainer_destroy(&x->tr);
  return out;
}

/** On all ranks. */
static bool same(const outcome *a, const outcome *b)
{
  int differ = a->err != b->err || a->weights != b->weights;
  for (int i = 0; i < N_STEPS; i++) // NaN differs from all
    differ |= !(a->loss[i] == b->loss[i] && a->norm[i] == b->norm[i]);
  MPI_Allreduce(MPI_IN_PLACE, &differ, 1, MPI_INT, MPI_MAX, MPI_COMM_WORLD);
  return !differ;
}

/** In each bucket of gradients, each rank has rows to give and to get. */
static void open_scene(train_scene *x, const train_setup *how)
{
  train_open(x, how);
  x->arch.tied = false;
}

static void check_bits(train_setup how)
{
  train_scene x;
  open_scene(&x, &how);
  const outcome want = run(&x, &how, (order){0});
  train_finish(&x);
  how.device = "check";
  open_scene(&x, &how);
  for (int last = 0; last < 2; last++) {
    const outcome got = run(&x, &how, (order){.kernels_last = last != 0});
    CU_ASSERT(want.err == RT_OK && same(&want, &got));
    CU_ASSERT_EQUAL(got.counts.host_waits, 0.0);
    CU_ASSERT_EQUAL(got.counts.drains, 1); // the last one
  }
  train_finish(&x);
}

/** A layout with several micro-steps; each rank has ids of all ranks' rows. */
static train_setup layout(int tp)
{
  train_setup how = train_usual(MPI_COMM_WORLD, tp);
  how.text = 52;
  how.micro_rows = TRAIN_BATCH / (rt_test_ranks() / tp) / 2;
  return how;
}

static void test_bits(void)
{
  for (int tp = 1; tp <= rt_test_ranks(); tp *= 2)
    check_bits(layout(tp));
}

/** Does another outcome show that a rank lacks a wait, in one of the orders?
 *  \a by: what is left out on this rank, and the order that comes first, as it
 *  has shown the wait before this one. */
static bool is_seen(train_scene *x, const train_setup *how, const outcome *want,
                    order *by)
{
  for (int i = 0; i < 2; i++) {
    const outcome got = run(x, how, *by);
    CU_ASSERT_EQUAL(got.n_edges, want->n_edges);
    if (!same(want, &got))
      return true;
    by->kernels_last = !by->kernels_last;
  }
  return false;
}

/** Without any one of them, something else comes out: a queue went on before
 *  what it needs.  The run itself says how many there are; of each rank's, or,
 *  with \a share, of one rank's in turn. */
static void check_edges(train_setup how, bool share)
{
  train_scene x;
  order by = {0};
  how.device = "check";
  open_scene(&x, &how);
  const outcome want = run(&x, &how, by);
  CU_ASSERT(want.err == RT_OK && want.n_edges >= 2 * N_STEPS - 1);
  for (int r = 0; r < rt_test_ranks(); r++) {
    int64_t n = want.n_edges;
    MPI_Bcast(&n, 1, MPI_INT64_T, r, MPI_COMM_WORLD);
    for (int64_t i = 1; i <= n; i++) {
      if (share && i % rt_test_ranks() != r)
        continue;
      by.lost = rt_comm_rank(x.comm) == r ? i : 0;
      const bool seen = is_seen(&x, &how, &want, &by);
      if (!seen)
        printf("wait %lld of %lld of rank %d is not needed\n", (long long)i,
               (long long)n, r);
      CU_ASSERT(seen);
    }
  }
  train_finish(&x);
}

/** On more than two ranks there are no other kinds of waits. */
static void test_edges(void)
{
  const int n = rt_test_ranks();
  for (int tp = 1; tp <= n && n <= 2; tp *= 2)
    check_edges(layout(tp), tp > 1);
}

RT_TEST_MAIN("queues", {"bits of the CPU without waits", test_bits},
             {"every wait is needed", test_edges})
