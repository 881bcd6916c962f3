/** \file gradsync.h
 *  Sum gradient buckets over dp while backward still runs.
 *  Layer: optim (it knows rt_params). */
#ifndef RT_GRADSYNC_H
#define RT_GRADSYNC_H

#include "model/params.h"

typedef struct rt_gradsync rt_gradsync;

/** \a params and \a dev are borrowed; the parameters must have gradients. */
RT_MUST rt_err rt_gradsync_create(rt_params *params, rt_dev *dev,
                                  rt_gradsync **out);
/** Free and set to NULL; NULL is accepted. */
void rt_gradsync_destroy(rt_gradsync **gs);

/** Bucket \a bucket is complete on this rank: start its sum over dp.  Also sums
 *  the replicated kv tiles over comm_kv first (blocking, small).  This is an
 *  rt_bucket_fn: pass the gradsync as self.  A bucket once before each finish;
 *  until then its gradients are borrowed.  Collective over the grid, in the
 *  same order on all ranks. */
RT_MUST rt_err rt_gradsync_bucket(void *gs, int bucket);
/** Wait for every started bucket: all of them, or none.  Collective. */
RT_MUST rt_err rt_gradsync_finish(rt_gradsync *gs);
/** Buckets started since the last finish: the order of events, for tests. */
int rt_gradsync_started(const rt_gradsync *gs);

#endif
