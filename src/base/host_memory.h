/** \file host_memory.h
 *  Memory of the host for large arrays.  Layer: base. */
#ifndef RT_HOST_MEMORY_H
#define RT_HOST_MEMORY_H

#include <stddef.h>

/** Aligned for vectors, and from 2 MiB on for huge pages, which the system is
 *  asked for: each page costs a fault when it is first written.  The caller
 *  frees it by free().  NULL: there is none. */
void *rt_host_alloc(size_t bytes);

#endif
