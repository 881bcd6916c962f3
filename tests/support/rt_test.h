/** \file rt_test.h
 *  What every CUnit suite of Retort shares.
 *
 *  A test file names the ranks it runs on in a line "ranks: 1 2 4" of its first
 *  comment (default: 1); tests/run.sh reads it.  A failure on any rank fails
 *  the suite on all. Use:
 *
 *    static void test_x(void) {...}
 *    RT_TEST_MAIN("module", {"x does y", test_x}, ...)
 */
#ifndef RT_TEST_H
#define RT_TEST_H

#include "base/err.h"
#include "dev/device.h"
#include "io/common/h5_child.h"
#include <CUnit/Basic.h>
#include <CUnit/CUnit.h>
#include <mpi.h>
#include <stdio.h>
#include <stdlib.h>

/** The call must succeed; prints the error's text otherwise. */
#define RT_OKAY(call)                                                          \
  do {                                                                         \
    if ((call) != RT_OK) {                                                     \
      fprintf(stderr, "%s:%d: %s\n  %s\n", __FILE__, __LINE__, rt_err_text(),  \
              rt_err_trace());                                                 \
      CU_FAIL_FATAL(#call);                                                    \
    } else                                                                     \
      CU_PASS(#call);                                                          \
  } while (0)

/** The call must fail with this code and its text contain this. */
#define RT_FAILS(call, code, part)                                             \
  do {                                                                         \
    const rt_err rt_fails_err_ = (call);                                       \
    CU_ASSERT_EQUAL(rt_fails_err_, (code));                                    \
    if (rt_fails_err_ != (code) || strstr(rt_err_text(), (part)) == NULL) {    \
      fprintf(stderr, "%s:%d: got error %d \"%s\", expected \"%s\"\n",         \
              __FILE__, __LINE__, (int)rt_fails_err_, rt_err_text(), (part));  \
      CU_FAIL(#call);                                                          \
    }                                                                          \
  } while (0)

/** Says what failed on a rank whose standard output is not shown. */
void rt_test_tell(int rank);

/** Number of ranks of the test. */
int rt_test_ranks(void);

void rt_test_sleep(double seconds);

/** Runs the tests on every rank; exit status 1 everywhere on any failure. */
#define RT_TEST_MAIN(suite_name, ...)                                          \
  int main(int argc, char **argv)                                              \
  {                                                                            \
    rt_dev_wake_library(argv);                                                 \
    if (rt_h5_child_start() != RT_OK)                                          \
      return 1;                                                                \
    MPI_Init_thread(&argc, &argv, MPI_THREAD_FUNNELED, &(int){0});             \
    int rank;                                                                  \
    MPI_Comm_rank(MPI_COMM_WORLD, &rank);                                      \
    CU_initialize_registry();                                                  \
    CU_pSuite suite = CU_add_suite(suite_name, NULL, NULL);                    \
    const struct {                                                             \
      const char *name;                                                        \
      CU_TestFunc run;                                                         \
    } tests[] = {__VA_ARGS__};                                                 \
    for (size_t i = 0; i < sizeof tests / sizeof tests[0]; i++)                \
      CU_add_test(suite, tests[i].name, tests[i].run);                         \
    if (rank != 0 && freopen("/dev/null", "w", stdout) == NULL)                \
      return 1;                                                                \
    CU_basic_set_mode(CU_BRM_NORMAL);                                          \
    CU_basic_run_tests();                                                      \
    if (rank != 0)                                                             \
      rt_test_tell(rank);                                                      \
    int failed = (int)CU_get_number_of_failures(), worst;                      \
    MPI_Allreduce(&failed, &worst, 1, MPI_INT, MPI_MAX, MPI_COMM_WORLD);       \
    CU_cleanup_registry();                                                     \
    MPI_Finalize();                                                            \
    rt_h5_child_stop();                                                        \
    return worst != 0;                                                         \
  }

#endif
