/** \file must.c */
#include "support/must.h"

#include "base/err.h"

#include <stdio.h>
#include <stdlib.h>

void must(bool holds, const char *what)
{
  if (holds)
    return;
  fprintf(stderr, "fuzzer: %s: %s\n", what, rt_err_text());
  abort();
}
