/** \file build_info.c
 *  Version and build options of this binary, as passed by the Makefile. */
#include "base/build_info.h"

// clang's __VERSION__ includes its name, gcc's is only a number
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
