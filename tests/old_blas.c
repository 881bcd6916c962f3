/** \file old_blas.c
 *  To preload: an OpenBLAS that does not know this processor and has chosen
 *  SSE kernels.  Each program that loads this says its name and which core type
 *  was asked for. */
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
  char name[32] = "?\n"; // ends with a line feed
  FILE *const comm = fopen("/proc/self/comm", "r");
  if (comm != NULL && fgets(name, sizeof name, comm) != NULL)
    fclose(comm);
  fprintf(stderr, "core type %s: %s", core != NULL ? core : "unset", name);
}
