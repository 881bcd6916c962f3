/** \file head.h
 *  The head: logits of one vocabulary shard, and how the shards' statistics of
 *  a token become one number.  Layer: model.
 *
 *  Every rank of a tp group joins the same numbers in the same order: all have
 *  the same bits. */
#ifndef RT_HEAD_H
#define RT_HEAD_H

#include "dev/device.h"

/** The head's weight tile [V_pad / tp, D] and its gradient (tied: the
 *  embedding's), first id of the tile, true V. */
typedef struct rt_head {
  rt_view w, g;
  int64_t v0, vocab;
} rt_head;

/** logits [n, V_pad / tp] = hidden [n, D] w^T.  Launched, not awaited. */
void rt_head_logits(rt_dev *dev, const rt_head *head, rt_view hidden,
                    rt_view logits);

/** One token's statistics of all tp shards: columns K_STAT_* (and more, if the
 *  caller has some), those of shard r from at + r * stride on. */
typedef struct rt_shards {
  const double *at; // borrowed
  int64_t stride;
  int tp;
} rt_shards;

double rt_shards_get(const rt_shards *s, int shard, int col);
/** The column added up over the shards. */
double rt_shards_sum(const rt_shards *s, int col);

/** sum_v exp(x_v) = sum * exp(max). */
typedef struct rt_exp_sum {
  double max, sum;
} rt_exp_sum;
/** Of the whole vocabulary, from each shard's maximum and its sum of
 *  exp(x - its maximum). */
rt_exp_sum rt_shards_exp_sum(const rt_shards *s, int col_max, int col_sum);
/** Log-sum-exp. */
double rt_exp_sum_log(rt_exp_sum x);
/** A column whose terms carry exp(x - the shard's maximum), carried over to
 *  exp(x - max) and added up. */
double rt_shards_scaled(const rt_shards *s, int col, int col_max, double max);

/** From the statistics of `topk` with spread: entropy of the softmax in nats,
 *  standard deviation of the logits over the true V. */
void rt_shards_spread(const rt_shards *s, const rt_head *head, double *entropy,
                      double *deviation);

#endif
