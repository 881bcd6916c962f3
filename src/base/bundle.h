/** \file bundle.h
 *  Several host arrays in one allocation.  A single function lists the arrays;
 *  it serves to count bytes and, after the allocation, to set the pointers.
 *  Layer: base.
 *
 *    static void lay_out(thing *t, rt_bundle *s)
 *    {
 *      t->count = rt_bundle_take(s, t->n, sizeof *t->count);
 *      t->ids = rt_bundle_take(s, t->n * t->k, sizeof *t->ids);
 *    }
 *
 *  Call it with an empty bundle to count bytes (all pointers are NULL), then
 *  rt_bundle_alloc, then call it again to obtain the pointers. */
#ifndef RT_BUNDLE_H
#define RT_BUNDLE_H

#include "base/err.h"
#include <stddef.h>

typedef struct rt_bundle {
  unsigned char *block; // owned by the holder; NULL while counting
  size_t bytes;         // taken so far
} rt_bundle;

/** Reserve the next \a n elements of \a size bytes, aligned to a cache line. */
void *rt_bundle_take(rt_bundle *bundle, size_t n, size_t size);
/** Allocate the bytes counted so far, zeroed, and restart at the first array.
 *  \param what  description and remedy for the error message, e.g. "entries:
 *    fewer micro_rows" */
RT_MUST rt_err rt_bundle_alloc(rt_bundle *bundle, const char *what);

#endif
