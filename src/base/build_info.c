/** \file build_info.c
 *  What this binary is; the Makefile passes the values. */
#include "base/build_info.h"

// clang's __VERSION__ names itself, gcc's is a bare number
#ifdef __clang__
#define RT_COMPILER __VERSION__
#else
#define RT_COMPILER "gcc " __VERSION__
#endif

const char *rt_build_commit(void)
{
  return RT_COMMIT;
}

const char *rt_build_compiler(void)
{
  return RT_COMPILER " " RT_CFLAGS;
}
