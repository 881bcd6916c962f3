/** \file buckets.c
 *  Exchanges of whole buckets over dp. */
#include "optim/buckets.h"

#include <stdlib.h>

rt_err rt_buckets_init(rt_buckets *b, const rt_params *params, rt_dev *dev,
                       rt_bucket_of what)
{
  const size_t n = (size_t)params->n_buckets;
  *b = (rt_buckets){.params = params, .dev = dev, .what = what};
  b->parts = calloc((size_t)params->n, sizeof *b->parts);
  b->first = calloc(n + 1, sizeof *b->first);
  // NOLINTNEXTLINE(bugprone-sizeof-expression): an array of pointers
  b->open = calloc(n, sizeof *b->open);
  RT_CHECK(b->parts && b->first && b->open, RT_ERR_MEM, "%zu buckets", n);
  for (int i = 0; i < params->n; i++) {
    const rt_param *t = &params->item[i];
    b->parts[i] =
        rt_param_parts(params, i, what == RT_BUCKET_WEIGHTS ? &t->w : &t->g);
    b->first[t->bucket + 1] = i + 1; // tensors are listed bucket by bucket
  }
  return RT_OK;
}

void rt_buckets_clear(rt_buckets *b)
{
  for (int i = 0; b->open != NULL && i < b->params->n_buckets; i++)
    rt_comm_give_up(&b->open[i]);
  free(b->parts);
  free(b->first);
  free(b->open);
  *b = (rt_buckets){0};
}

rt_err rt_buckets_start(rt_buckets *b, int bucket)
{
  const int first = b->first[bucket], n = b->first[bucket + 1] - first;
  const rt_comm *dp = b->params->grid->comm_dp;
  const rt_event ready = rt_dev_event(b->dev, RT_QUEUE_COMPUTE);
  const rt_parts *parts = b->parts + first;
  return b->what == RT_BUCKET_GRADIENTS
             ? rt_comm_scatter_start(dp, b->dev, ready, parts, n,
                                     &b->open[bucket])
             : rt_comm_gather_start(dp, b->dev, ready, parts, n,
                                    &b->open[bucket]);
}

rt_err rt_buckets_join(rt_buckets *b, int bucket)
{
  return rt_comm_join(&b->open[bucket]);
}
