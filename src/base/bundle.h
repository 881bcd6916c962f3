/** \file bundle.h
 *  Several host arrays in one block: one list of them says how many bytes they
 *  take and, after the allocation, where each lies.  Layer: base.
 *
 *    static void lay_out(thing *t, rt_bundle *s)
 *    {
 *      t->count = rt_bundle_take(s, t->n, sizeof *t->count);
 *      t->ids = rt_bundle_take(s, t->n * t->k, sizeof *t->ids);
 *    }
 *  Called on an empty bundle it counts (the places are NULL); then
 * rt_bundle_alloc, and the same calls give the places. */
#ifndef RT_BUNDLE_H
#define RT_BUNDLE_H

#include "base/err.h"
#include <stddef.h>

typedef struct rt_bundle {
  unsigned char *block; // owned by who keeps it; NULL: only counting
  size_t bytes;         // taken so far
} rt_bundle;

/** The next \a n elements of \a size bytes, on a cache line of their own. */
void *rt_bundle_take(rt_bundle *bundle, size_t n, size_t size);
/** Allocate what was counted, all 0, and begin again.  \param what  for the
 *  error: "entries: fewer micro_rows" */
RT_MUST rt_err rt_bundle_alloc(rt_bundle *bundle, const char *what);

#endif
