/** \file rt_test.c */
#include "support/rt_test.h"

#include <time.h>

void rt_test_tell(int rank)
{
  for (CU_pFailureRecord f = CU_get_failure_list(); f != NULL; f = f->pNext)
    fprintf(stderr, "rank %d: %s: %s:%u: %s\n", rank,
            f->pTest != NULL ? f->pTest->pName : "suite", f->strFileName,
            f->uiLineNumber, f->strCondition);
}

int rt_test_ranks(void)
{
  int n;
  MPI_Comm_size(MPI_COMM_WORLD, &n);
  return n;
}

void rt_test_sleep(double seconds)
{
  const time_t whole = (time_t)seconds;
  nanosleep(&(struct timespec){whole, (long)((seconds - (double)whole) * 1e9)},
            NULL);
}
