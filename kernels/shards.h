/** \file shards.h
 *  The reduction of vocabulary shards' statistics of a token to those of the
 *  whole vocabulary, for kernels and hosts.  Layer: kernels.
 *
 *  Every rank of a tp group reduces the same numbers in the same order, so all
 *  obtain the same bits. */
#ifndef K_SHARDS_H
#define K_SHARDS_H

#include "kernels/kernels.h"

/** Statistics of one token from all vocabulary shards: columns K_STAT_* and
 *  possibly further ones; those of shard r start at at + r * stride. */
typedef struct rt_shards {
  const double *at; // borrowed
  int64_t stride;
  int tp;
} rt_shards;

double rt_shards_get(const rt_shards *s, int shard, int col);
/** Sum of a column over the shards. */
double rt_shards_sum(const rt_shards *s, int col);

/** sum_v exp(x_v) = sum * exp(max). */
typedef struct rt_exp_sum {
  double max, sum;
} rt_exp_sum;
/** For the whole vocabulary, from each shard's maximum and its sum of exp(x -
 *  that maximum). */
rt_exp_sum rt_shards_exp_sum(const rt_shards *s, int col_max, int col_sum);
/** Log-sum-exp. */
double rt_exp_sum_log(rt_exp_sum x);
/** Sum over the shards of a column that contains a factor exp(x - maximum of
 *  the shard), rescaled to exp(x - max). */
double rt_shards_scaled(const rt_shards *s, int col, int col_max, double max);

/** From the statistics of kernel topk with spread: entropy of the softmax in
 *  nats, and standard deviation of the logits over those true ids whose logit
 *  is not -inf.  NaN if a logit is NaN or +inf, or all are -inf. */
void rt_shards_spread(const rt_shards *s, double *entropy, double *deviation);

#endif
