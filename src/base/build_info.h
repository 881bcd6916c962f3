/** \file build_info.h
 *  Version and build options of this binary, as passed by the Makefile.  Layer:
 *  base. */
#ifndef RT_BUILD_INFO_H
#define RT_BUILD_INFO_H

#define RT_VERSION "0.1.0"

const char *rt_build_commit(void);   /**< short git hash, "+" when modified */
const char *rt_build_compiler(void); /**< "gcc 12.2.0 -O3 -march=native" */

#endif
