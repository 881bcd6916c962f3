/** \file gradsync.h
 *  Sums gradient buckets over dp while backward is still running: each rank
 *  gets the sums of the rows that it updates.  Layer: optim (it includes
 *  rt_params). */
#ifndef RT_GRADSYNC_H
#define RT_GRADSYNC_H

#include "model/params.h"

typedef struct rt_gradsync rt_gradsync;

/** \a params and \a dev are borrowed; the parameters must have gradients. */
RT_MUST rt_err rt_gradsync_create(rt_params *params, rt_dev *dev,
                                  rt_gradsync **out);
/** Free and set to NULL; NULL is accepted. */
void rt_gradsync_destroy(rt_gradsync **gs);

/** Bucket \a bucket is complete on this rank: start its sum over dp.  The sums
 *  replace this rank's rows of each gradient (rt_param_parts); the other rows
 *  keep what this rank had.  Replicated kv tiles are first summed over comm_kv.
 * This is an rt_bucket_fn; pass the gradsync as self. Start each bucket once
 * per finish; its gradients are borrowed until then. Collective over the grid,
 * in the same order on all ranks. */
RT_MUST rt_err rt_gradsync_bucket(void *gs, int bucket);
/** Later kernels have the sums of all started buckets; either all or none must
 *  have been started.  Collective. */
RT_MUST rt_err rt_gradsync_finish(rt_gradsync *gs);
/** Number of buckets started since the last finish; for tests. */
int rt_gradsync_started(const rt_gradsync *gs);

#endif
