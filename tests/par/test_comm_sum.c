/** \file test_comm_sum.c
 *  Sums over ranks by shared memory and by MPI: behind kernels.
 *  ranks: 1 2 4 */
#include "dev/device_impl.h"
#include "par/comm_impl.h"
#include "support/comm_scene.h"
#include "support/rt_test.h"

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
  // around cache lines, then chunks (65536 f32) and the ring of chunks, or
  // calls of MPI
  const size_t most[2][5] = {{999, 1000, 1001, 2000, 2500},
                             {65535, 65536, 65537, 600001, 1200000}};
  const size_t few[] = {0, 1, 2, 15, 16, 17, 65};
  enum { N_FEW = sizeof few / sizeof few[0] };
  comm_scene s;
  comm_scene_start(&s, "cpu", shared);
  for (size_t k = 0; k < N_FEW + 5; k++)
    for (int op = RT_SUM; op <= RT_MIN; op++)
      for (int t = 0; t < (op == RT_SUM ? 3 : 2); t++) {
        const size_t n = k < N_FEW ? few[k] : most[shared][k - N_FEW];
        const rt_view v = comm_values(types[t], n, s.rank);
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

/** A kernel fills x with the rank's number: the sum comes behind it, and the
 * next kernel behind the sum. */
static void test_waits(void)
{
  for (int last = 0; last < 2; last++) {
    comm_scene s;
    comm_scene_start(&s, "check", true);
    s.dev->kernels_last = last != 0;
    double numbers[10] = {0}, after[10] = {0};
    const rt_view x = rt_view_of(numbers, RT_F64, 1, 10);
    RT_RUN(s.dev, fill, .y = x, .value = s.rank + 1.0);
    RT_OKAY(rt_comm_allreduce(s.world, s.dev, x, RT_SUM));
    RT_RUN(s.dev, copy, .x = x, .y = rt_view_of(after, RT_F64, 1, 10));
    RT_OKAY(rt_dev_sync(s.dev));
    CU_ASSERT_EQUAL(after[9], s.size * (s.size + 1) / 2.0);
    comm_scene_finish(&s);
  }
}

RT_TEST_MAIN("comm_sum", {"ranks of a node share memory", test_shared_is_used},
             {"all-reduce is the serial sum (shared)", test_all_reduce_shared},
             {"all-reduce is the serial sum (MPI)", test_all_reduce_mpi},
             {"what cannot be summed is refused", test_refused},
             {"ranks that disagree do not hang", test_mismatch},
             {"a sum waits for kernels, and they for it", test_waits})
