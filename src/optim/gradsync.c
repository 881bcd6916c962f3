/** \file gradsync.c
 *  Sums gradient buckets over dp while backward is still running. */
#include "optim/gradsync.h"

#include "optim/buckets.h"
#include <stdlib.h>

struct rt_gradsync {
  rt_params *params; // borrowed
  rt_dev *dev;       // borrowed
  rt_buckets sums;
  int *started; // owned [n_buckets]; the first n_started, in order of their
                // start
  int n_started;
};

rt_err rt_gradsync_create(rt_params *params, rt_dev *dev, rt_gradsync **out)
{
  *out = NULL;
  RT_CHECK(params->bucket_grad != NULL, RT_ERR_INTERNAL,
           "gradsync: the parameters have no gradients");
  rt_gradsync *gs = calloc(1, sizeof *gs);
  RT_CHECK(gs != NULL, RT_ERR_MEM, "a gradient sum");
  *out = gs;
  gs->params = params;
  gs->dev = dev;
  gs->started = calloc((size_t)params->n_buckets, sizeof *gs->started);
  RT_CHECK(gs->started != NULL, RT_ERR_MEM, "%d buckets", params->n_buckets);
  return rt_buckets_init(&gs->sums, params, dev, RT_BUCKET_GRADIENTS);
}

void rt_gradsync_destroy(rt_gradsync **out)
{
  rt_gradsync *gs = *out;
  *out = NULL;
  if (gs == NULL)
    return;
  rt_buckets_clear(&gs->sums);
  free(gs->started);
  free(gs);
}

/** Sum replicated kv gradients: each replica has seen only its own query heads.
 */
static rt_err sum_replicas(rt_gradsync *gs, int bucket)
{
  const rt_params *p = gs->params;
  for (int i = 0; i < p->n; i++) {
    const rt_param *t = &p->item[i];
    if (t->bucket == bucket && t->split == RT_SPLIT_KV && t->n_replicas > 1)
      RT_TRY(rt_comm_allreduce(p->comm_kv, gs->dev, t->g, RT_SUM));
  }
  return RT_OK;
}

rt_err rt_gradsync_bucket(void *self, int bucket)
{
  rt_gradsync *gs = self;
  for (int i = 0; i < gs->n_started; i++)
    RT_CHECK(gs->started[i] != bucket, RT_ERR_INTERNAL,
             "gradient bucket %d is started twice", bucket);
  RT_TRY(sum_replicas(gs, bucket));
  RT_TRY(rt_buckets_start(&gs->sums, bucket));
  gs->started[gs->n_started++] = bucket;
  return RT_OK;
}

rt_err rt_gradsync_finish(rt_gradsync *gs)
{
  RT_CHECK(gs->n_started == 0 || gs->n_started == gs->params->n_buckets,
           RT_ERR_INTERNAL, "only %d of %d gradient buckets were started",
           gs->n_started, gs->params->n_buckets);
  // the first one started has progressed furthest
  for (int i = 0; i < gs->n_started; i++)
    RT_TRY(rt_buckets_join(&gs->sums, gs->started[i]));
  gs->n_started = 0;
  return RT_OK;
}

int rt_gradsync_started(const rt_gradsync *gs)
{
  return gs->n_started;
}
