/** \file test_agree.c
 *  Agreements that ranks reach along different paths.
 *  ranks: 1 2 4 */
#include "ranks/agree.h"
#include "support/rt_test.h"

#include <string.h>
#include <unistd.h>

static int my_rank(void)
{
  int rank;
  MPI_Comm_rank(MPI_COMM_WORLD, &rank);
  return rank;
}

static rt_err agree_here(rt_err err)
{
  return rt_agree_ranks(MPI_COMM_WORLD, err, RT_SOON, RT_HERE);
}

static rt_err agree_there(rt_err err)
{
  return rt_agree_ranks(MPI_COMM_WORLD, err, RT_SOON, RT_HERE);
}

/** \a rank fails before an agreement, as in all code. */
static rt_err work(int rank)
{
  RT_CHECK(my_rank() != rank, RT_ERR_MEM, "no memory");
  RT_TRY(agree_here(RT_OK));
  RT_TRY(agree_here(RT_OK));
  return RT_OK;
}

/** A rank that fails skips agreements; the others learn of it in the first one,
 *  and no rank waits in later ones. */
static void test_skipped(void)
{
  for (int rank = 0; rank < rt_test_ranks(); rank++) {
    rt_err err = agree_there(work(rank));
    CU_ASSERT_EQUAL(err, RT_ERR_MEM);
    CU_ASSERT_EQUAL(rt_err_is_mine(), my_rank() == rank);
    err = rt_err_add(agree_here(err), "; %d ranks", rt_test_ranks());
    CU_ASSERT_EQUAL(rt_err_is_mine(), my_rank() == rank); // said by one rank
    CU_ASSERT_EQUAL(agree_there(err), RT_ERR_MEM);
    CU_ASSERT_PTR_NOT_NULL(strstr(rt_err_text(), " ranks"));
    CU_ASSERT_PTR_NOT_NULL(strstr(rt_err_text(), "no memory"));
    RT_OKAY(agree_here(RT_OK)); // and they go on together
  }
}

/** Another collective on the same communicator does not match an agreement. */
static void test_apart(void)
{
  MPI_Request request;
  int32_t mine = my_rank(), sum = 0;
  RT_OKAY(agree_here(RT_OK));
  MPI_Iallreduce(&mine, &sum, 1, MPI_INT32_T, MPI_SUM, MPI_COMM_WORLD,
                 &request);
  if (my_rank() % 2 == 0) {
    RT_OKAY(agree_here(RT_OK));
    MPI_Wait(&request, MPI_STATUS_IGNORE);
  } else {
    MPI_Wait(&request, MPI_STATUS_IGNORE);
    RT_OKAY(agree_here(RT_OK));
  }
  CU_ASSERT_EQUAL(sum, rt_test_ranks() * (rt_test_ranks() - 1) / 2);
}

/** Without an error, ranks in different agreements are a bug. */
static void test_different(void)
{
  const rt_err err = my_rank() == 0 ? agree_here(RT_OK) : agree_there(RT_OK);
  CU_ASSERT_EQUAL(err, rt_test_ranks() > 1 ? RT_ERR_INTERNAL : RT_OK);
  if (rt_test_ranks() > 1)
    CU_ASSERT_PTR_NOT_NULL(strstr(rt_err_text(), "test_agree.c:"));
  CU_ASSERT_EQUAL(agree_there(err), err);
  RT_OKAY(agree_there(RT_OK));
}

/** An error agreed upon by a subset is passed on to all ranks. */
static void test_parts(void)
{
  MPI_Comm part;
  const int half = my_rank() / 2;
  MPI_Comm_split(MPI_COMM_WORLD, half, my_rank(), &part);
  rt_err err = RT_OK;
  if (my_rank() == rt_test_ranks() - 1)
    err = RT_FAIL(RT_ERR_IO, "a bad disk");
  err = rt_agree_ranks(part, err, RT_SOON, RT_HERE);
  CU_ASSERT_EQUAL(err, half == (rt_test_ranks() - 1) / 2 ? RT_ERR_IO : RT_OK);
  err = agree_here(err);
  CU_ASSERT_EQUAL(err, RT_ERR_IO);
  CU_ASSERT_EQUAL(agree_there(err), RT_ERR_IO);
  MPI_Comm_free(&part);
}

/** A rank that survives an error waits for ranks that have more to report. */
static void test_late(void)
{
  rt_err err = RT_OK;
  if (my_rank() == 0)
    err = RT_FAIL(RT_ERR_DATA, "damaged");
  else
    sleep(4);
  err = rt_agree_ranks(MPI_COMM_WORLD, err, RT_LATE, RT_HERE);
  CU_ASSERT_EQUAL(err, RT_ERR_DATA);
  CU_ASSERT_FALSE(rt_agree_alone());
  RT_OKAY(agree_here(RT_OK));
}

/** A rank that fails while its peers are elsewhere does not wait for them; the
 *  last test, as no collective may follow. */
static void test_alone(void)
{
  const double since = MPI_Wtime();
  rt_err err = RT_FAIL(RT_ERR_MEM, "no memory");
  if (rt_test_ranks() == 1 || my_rank() == 0) {
    err = agree_here(err);
    CU_ASSERT_EQUAL(err, RT_ERR_MEM);
    CU_ASSERT_EQUAL(rt_agree_alone(), rt_test_ranks() > 1);
    CU_ASSERT(rt_err_is_mine() && strcmp(rt_err_text(), "no memory") == 0);
    CU_ASSERT_EQUAL(agree_there(err), RT_ERR_MEM);
    if (rt_test_ranks() > 1)
      CU_ASSERT_EQUAL(agree_there(RT_OK), RT_ERR_INTERNAL);
  } else {
    sleep(6); // as if in another collective
  }
  CU_ASSERT(MPI_Wtime() - since < 8.0);
}

RT_TEST_MAIN("agree", {"who fails may skip agreements", test_skipped},
             {"other collectives are left alone", test_apart},
             {"different agreements are a bug", test_different},
             {"parts and the whole", test_parts},
             {"an error to outlive", test_late}, {"nobody comes", test_alone})
