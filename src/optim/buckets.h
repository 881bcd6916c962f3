/** \file buckets.h
 *  Exchanges of whole buckets over dp: for the files of this room.  Layer:
 *  optim. */
#ifndef RT_BUCKETS_H
#define RT_BUCKETS_H

#include "model/params.h"

typedef enum rt_bucket_of {
  RT_BUCKET_GRADIENTS,
  RT_BUCKET_WEIGHTS
} rt_bucket_of;

/** The views of all tensors, bucket by bucket, with what is open. */
typedef struct rt_buckets {
  const rt_params *params; // borrowed
  rt_dev *dev;             // borrowed
  rt_bucket_of what;
  rt_parts *parts;   // owned [params->n]
  int *first;        // owned [n_buckets + 1]: into parts
  rt_pending **open; // owned [n_buckets]
} rt_buckets;

/** Gradients are scattered, weights gathered.  \a params and \a dev are
 *  borrowed; the caller clears it, also after an error. */
RT_MUST rt_err rt_buckets_init(rt_buckets *b, const rt_params *params,
                               rt_dev *dev, rt_bucket_of what);
/** Gives up what is open. */
void rt_buckets_clear(rt_buckets *b);

/** Start the exchange of a bucket, after earlier kernels.  Collective over dp,
 * in the same order on all ranks. */
RT_MUST rt_err rt_buckets_start(rt_buckets *b, int bucket);
/** Later kernels have its result; nothing to do if none was started.
 *  Collective. */
RT_MUST rt_err rt_buckets_join(rt_buckets *b, int bucket);

#endif
