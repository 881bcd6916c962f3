/** \file old_blas.c
 *  To preload: an OpenBLAS that does not know this processor and has chosen
 *  SSE kernels.  Each program that loads this says which core type was asked
 *  for. */
#include <stdio.h>
#include <stdlib.h>

char *openblas_get_corename(void)
{
  static char name[] = "Prescott";
  return name;
}

__attribute__((constructor)) static void tell(void)
{
  const char *const core = getenv("OPENBLAS_CORETYPE");
  fprintf(stderr, "core type %s\n", core != NULL ? core : "unset");
}
