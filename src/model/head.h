/** \file head.h
 *  The output head: logits of one vocabulary shard, and the reduction of the
 *  shards' statistics of a token to those of the whole vocabulary.  Layer:
 *  model.
 *
 *  Every rank of a tp group reduces the same numbers in the same order, so all
 *  obtain the same bits. */
#ifndef RT_HEAD_H
#define RT_HEAD_H

#include "dev/device.h"

/** The head's weight tile [V_pad / tp, D], its gradient (the embedding's if
 *  tied), the first id of the tile, and the true V. */
typedef struct rt_head {
  rt_view w, g;
  int64_t v0, vocab;
} rt_head;

/** logits [n, V_pad / tp] = hidden [n, D] w^T.  Asynchronous. */
void rt_head_logits(rt_dev *dev, const rt_head *head, rt_view hidden,
                    rt_view logits);

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
 *  nats, and standard deviation of the logits over the true V. */
void rt_shards_spread(const rt_shards *s, const rt_head *head, double *entropy,
                      double *deviation);

#endif
