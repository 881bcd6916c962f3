/** \file test_comm_sum.c
 *  Sums over ranks by shared memory and by MPI: blocking, open, behind events.
 *  ranks: 1 2 4 */
#include "dev/device_impl.h"
#include "par/comm_impl.h"
#include "support/comm_scene.h"
#include "support/rt_test.h"

#include <math.h>
#include <string.h>
#include <unistd.h>

static void test_shared_is_used(void)
{
  comm_scene s;
  comm_scene_start(&s, "cpu", true);
  rt_shm *shm;
  RT_OKAY(rt_comm_shm(s.world, &shm));
  CU_ASSERT_PTR_NOT_NULL(shm); // the tests' ranks are on one node
  comm_scene_finish(&s);
}

static void all_reduces(bool shared)
{
  static const rt_dtype types[] = {RT_F32, RT_F64, RT_BF16};
  // around cache lines, chunks (65536 f32) and the ring of chunks
  const size_t sizes[] = {0,  1,     2,     15,    16,     17,
                          65, 65535, 65536, 65537, 600001, 1200000};
  comm_scene s;
  comm_scene_start(&s, "cpu", shared);
  for (size_t k = 0; k < sizeof sizes / sizeof sizes[0]; k++)
    for (int op = RT_SUM; op <= RT_MIN; op++)
      for (int t = 0; t < (op == RT_SUM ? 3 : 2); t++) {
        const rt_view v = comm_values(types[t], sizes[k], s.rank);
        RT_OKAY(rt_comm_allreduce(s.world, s.dev, v, (rt_op)op));
        comm_check(&s, &v, (rt_op)op, shared || s.size <= 2 || op != RT_SUM);
        free(v.data);
      }
  comm_scene_finish(&s);
}

static void test_all_reduce_shared(void)
{
  all_reduces(true);
}

static void test_all_reduce_mpi(void)
{
  all_reduces(false);
}

static void test_refused(void)
{
  comm_scene s;
  comm_scene_start(&s, "cpu", true);
  double x[6] = {0};
  if (s.size > 1) {
    RT_FAILS(rt_comm_allreduce(s.world, s.dev, (rt_view){x, RT_F64, 2, 2, 3},
                               RT_SUM),
             RT_ERR_INTERNAL, "contiguous");
    RT_FAILS(
        rt_comm_allreduce(s.world, s.dev, rt_view_of(x, RT_I32, 1, 4), RT_SUM),
        RT_ERR_INTERNAL, "not i32");
    RT_FAILS(
        rt_comm_allreduce(s.world, s.dev, rt_view_of(x, RT_BF16, 1, 4), RT_MAX),
        RT_ERR_INTERNAL, "not bf16");
    RT_FAILS(rt_comm_bcast(s.world, x, 8, 99), RT_ERR_INTERNAL, "MPI_Bcast");
    CU_ASSERT_PTR_NOT_NULL(strcasestr(rt_err_text(), "root")); // MPI says
  }
  comm_scene_finish(&s);
}

/** Ranks that enter with different sizes or types must not hang. */
static void test_mismatch(void)
{
  for (int kind = 0; kind < 3; kind++) {
    comm_scene s;
    comm_scene_start(&s, "cpu", true);
    const bool last = s.rank == s.size - 1 && s.size > 1;
    const size_t n = 100000;
    double *x = calloc(n, sizeof *x);
    size_t bytes_of[4] = {n, n, n, n};
    CU_ASSERT_PTR_NOT_NULL_FATAL(x);
    rt_view v = rt_view_of(x, RT_F64, 1, (int64_t)n);
    rt_err err;
    if (kind == 0) // another length, a multiple of chunks apart
      v.cols = v.ld = last ? 1 : v.cols;
    else if (kind == 1) // the same bytes of another type
      v = last ? rt_view_of(x, RT_F32, 1, 2 * (int64_t)n) : v;
    if (kind == 2 && last)
      err = rt_comm_allgatherv(s.world, (char *)x + n * (size_t)s.rank,
                               bytes_of, x);
    else
      err = rt_comm_allreduce(s.world, s.dev, v, RT_SUM);
    CU_ASSERT_EQUAL(err, s.size > 1 ? RT_ERR_INTERNAL : RT_OK);
    if (s.size > 1)
      CU_ASSERT_PTR_NOT_NULL(strstr(rt_err_text(), "different collectives"));
    free(x);
    comm_scene_finish(&s);
  }
}

/** Three sums are open at once, another goes by in between, and they are
 *  finished in another order. */
static void open_sums(bool shared)
{
  enum { N_OPEN = 3 };
  const size_t n_of[N_OPEN] = {700000, 3, 100000};
  comm_scene s;
  comm_scene_start(&s, "cpu", shared);
  for (int round = 0; round < 3; round++) {
    rt_view v[N_OPEN];
    rt_pending *p[N_OPEN];
    for (int i = 0; i < N_OPEN; i++) {
      v[i] = comm_values(RT_F32, n_of[i], s.rank);
      RT_OKAY(rt_comm_allreduce_start(s.world, s.dev,
                                      rt_dev_event(s.dev, RT_QUEUE_COMPUTE),
                                      v[i], RT_SUM, &p[i]));
      rt_comm_progress();
    }
    const rt_view between = comm_values(RT_F64, 1000, s.rank);
    RT_OKAY(rt_comm_allreduce(s.world, s.dev, between, RT_SUM));
    comm_check(&s, &between, RT_SUM, shared || s.size <= 2);
    free(between.data);
    for (int i = N_OPEN - 1; i >= 0; i--) {
      RT_OKAY(rt_comm_join(&p[i]));
      CU_ASSERT_PTR_NULL(p[i]);
      comm_check(&s, &v[i], RT_SUM, shared || s.size <= 2);
      RT_OKAY(rt_comm_join(&p[i])); // NULL is nothing
      free(v[i].data);
    }
  }
  comm_scene_finish(&s);
}

static void test_open_shared(void)
{
  open_sums(true);
}

static void test_open_mpi(void)
{
  open_sums(false);
}

/** Progress alone completes a sum: by order of events, not by time.  Between
 *  two barriers of MPI every rank has called it once. */
static void progress_moves(bool shared)
{
  enum { MOST = 10000 };
  comm_scene s;
  comm_scene_start(&s, "cpu", shared);
  const size_t n = 300000; // 5 chunks, that is less than the ring
  const rt_view v = comm_values(RT_F32, n, s.rank);
  rt_pending *p;
  RT_OKAY(rt_comm_allreduce_start(
      s.world, s.dev, rt_dev_event(s.dev, RT_QUEUE_COMPUTE), v, RT_SUM, &p));
  int here = 0, everywhere = s.size == 1;
  for (int i = 0; i < MOST && !everywhere; i++) {
    rt_comm_progress();
    here =
        fabs(comm_value(&v, n - 1) -
             comm_serial(RT_F32, s.size, n - 1, RT_SUM)) < 1e-2 &&
        fabs(comm_value(&v, 0) - comm_serial(RT_F32, s.size, 0, RT_SUM)) < 1e-2;
    MPI_Allreduce(&here, &everywhere, 1, MPI_INT, MPI_MIN, MPI_COMM_WORLD);
    // three stages, each of which needs the others' one before
    CU_ASSERT_FATAL(!shared || everywhere || i < 5);
  }
  CU_ASSERT(everywhere);
  RT_OKAY(rt_comm_join(&p));
  comm_check(&s, &v, RT_SUM, shared || s.size <= 2);
  free(v.data);
  comm_scene_finish(&s);
}

static void test_progress(void)
{
  progress_moves(true);
  progress_moves(false);
}

/** Two groups with open sums: a rank that waits for one makes the other
 *  progress. */
static void test_two_groups(void)
{
  comm_scene s;
  comm_scene_start(&s, "cpu", true);
  rt_comm *second;
  RT_OKAY(rt_comm_create(MPI_COMM_WORLD, &second));
  const rt_view a = comm_values(RT_F32, 900000, s.rank);
  const rt_view b = comm_values(RT_F32, 900000, s.rank);
  rt_pending *p, *q;
  RT_OKAY(rt_comm_allreduce_start(
      s.world, s.dev, rt_dev_event(s.dev, RT_QUEUE_COMPUTE), a, RT_SUM, &p));
  RT_OKAY(rt_comm_allreduce_start(
      second, s.dev, rt_dev_event(s.dev, RT_QUEUE_COMPUTE), b, RT_MAX, &q));
  if (s.rank % 2 == 0) { // each waits first for what the other leaves for later
    RT_OKAY(rt_comm_join(&p));
    RT_OKAY(rt_comm_join(&q));
  } else {
    RT_OKAY(rt_comm_join(&q));
    RT_OKAY(rt_comm_join(&p));
  }
  comm_check(&s, &a, RT_SUM, true);
  comm_check(&s, &b, RT_MAX, true);
  free(a.data);
  free(b.data);
  rt_comm_destroy(&second);
  comm_scene_finish(&s);
}

/** A kernel fills x with the rank's number; the sum is started with the event
 *  before it or behind it.  The wrong one gives other numbers under check. */
static void test_missing_wait(void)
{
  for (int late = 0; late < 2; late++)
    for (int lazy = 0; lazy < 2; lazy++) {
      comm_scene s;
      comm_scene_start(&s, lazy ? "check" : "cpu", true);
      s.dev->kernels_last = true;
      const rt_arena_memory m = rt_dev_memory(s.dev);
      const rt_view x = rt_view_of(m.alloc(m.self, 80), RT_F64, 1, 10);
      CU_ASSERT_PTR_NOT_NULL_FATAL(x.data);
      rt_event ready = rt_dev_event(s.dev, RT_QUEUE_COMPUTE);
      RT_RUN(s.dev, fill, .y = x, .value = s.rank + 1.0);
      if (late)
        ready = rt_dev_event(s.dev, RT_QUEUE_COMPUTE);
      RT_RUN(s.dev, scale, .y = x, .value = 1.0); // nobody waits for this one
      rt_pending *p;
      RT_OKAY(rt_comm_allreduce_start(s.world, s.dev, ready, x, RT_SUM, &p));
      RT_OKAY(rt_comm_join(&p));
      const double want = s.size * (s.size + 1) / 2.0;
      RT_OKAY(rt_dev_sync(s.dev));
      if (s.size > 1)
        CU_ASSERT_EQUAL(comm_value(&x, 9) == want, late || !lazy);
      // the blocking one waits by itself
      RT_RUN(s.dev, fill, .y = x, .value = s.rank + 1.0);
      RT_OKAY(rt_comm_allreduce(s.world, s.dev, x, RT_SUM));
      RT_OKAY(rt_dev_sync(s.dev));
      CU_ASSERT_EQUAL(comm_value(&x, 9), want);
      m.release(m.self, x.data);
      comm_scene_finish(&s);
    }
}

/** Only work before the event is waited for. */
static void test_start_waits_for_event_only(void)
{
  comm_scene s;
  comm_scene_start(&s, "check", true);
  double x[1] = {1.0}, later[1] = {1.0};
  const rt_event ready = rt_dev_event(s.dev, RT_QUEUE_COMPUTE);
  RT_RUN(s.dev, fill, .y = rt_view_of(later, RT_F64, 1, 1), .value = 2.0);
  rt_pending *p;
  RT_OKAY(rt_comm_allreduce_start(s.world, s.dev, ready,
                                  rt_view_of(x, RT_F64, 1, 1), RT_SUM, &p));
  RT_OKAY(rt_comm_join(&p));
  CU_ASSERT_EQUAL(later[0], 1.0);
  RT_OKAY(rt_dev_sync(s.dev));
  CU_ASSERT_EQUAL(x[0], s.size);
  CU_ASSERT_EQUAL(later[0], 2.0);
  comm_scene_finish(&s);
}

RT_TEST_MAIN("comm_sum", {"ranks of a node share memory", test_shared_is_used},
             {"all-reduce is the serial sum (shared)", test_all_reduce_shared},
             {"all-reduce is the serial sum (MPI)", test_all_reduce_mpi},
             {"what cannot be summed is refused", test_refused},
             {"ranks that disagree do not hang", test_mismatch},
             {"open sums in any order (shared)", test_open_shared},
             {"open sums in any order (MPI)", test_open_mpi},
             {"progress completes a sum", test_progress},
             {"a wait moves the other group", test_two_groups},
             {"check shows a missing wait", test_missing_wait},
             {"a start waits for its event only",
              test_start_waits_for_event_only})
