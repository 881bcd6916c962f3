/** \file host_memory.c */
#include "base/host_memory.h"

#include <stdlib.h>
#include <sys/mman.h>

enum { ALIGN = 256, HUGE_PAGE = 2 << 20 };

void *rt_host_alloc(size_t bytes)
{
  const size_t align = bytes >= HUGE_PAGE ? HUGE_PAGE : ALIGN;
  void *data = aligned_alloc(align, (bytes + align - 1) / align * align);
  if (data != NULL && align == HUGE_PAGE)
    madvise(data, bytes, MADV_HUGEPAGE); // fewer TLB misses; only a hint
  return data;
}
