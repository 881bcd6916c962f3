/** \file bundle.c
 *  Several host arrays in one allocation. */
#include "base/bundle.h"

#include <stdlib.h>

enum { LINE = 64 };

void *rt_bundle_take(rt_bundle *bundle, size_t n, size_t size)
{
  unsigned char *const block = bundle->block;
  void *const place = block != NULL ? block + bundle->bytes : NULL;
  bundle->bytes += (n * size + LINE - 1) / LINE * LINE;
  return place;
}

rt_err rt_bundle_alloc(rt_bundle *bundle, const char *what)
{
  bundle->block = calloc(bundle->bytes + LINE, 1);
  RT_CHECK(bundle->block != NULL, RT_ERR_MEM, "%zu bytes of %s", bundle->bytes,
           what);
  bundle->bytes = 0;
  return RT_OK;
}
