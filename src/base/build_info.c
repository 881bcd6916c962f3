/** \file build_info.c
 *  What this binary is; the Makefile passes the values. */
#include "base/build_info.h"

const char *rt_build_commit(void)
{
  return RT_COMMIT;
}

const char *rt_build_compiler(void)
{
  return __VERSION__ " " RT_CFLAGS;
}
