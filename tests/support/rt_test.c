/** \file rt_test.c */
#include "support/rt_test.h"

void rt_test_tell(int rank)
{
  for (CU_pFailureRecord f = CU_get_failure_list(); f != NULL; f = f->pNext)
    fprintf(stderr, "rank %d: %s: %s:%u: %s\n", rank,
            f->pTest != NULL ? f->pTest->pName : "suite", f->strFileName,
            f->uiLineNumber, f->strCondition);
}
