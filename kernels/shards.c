/** \file shards.c
 *  Statistics of a token over all vocabulary shards. */
#include "kernels/shards.h"

#include <math.h>

double rt_shards_get(const rt_shards *s, int shard, int col)
{
  return s->at[shard * s->stride + col];
}

double rt_shards_sum(const rt_shards *s, int col)
{
  double sum = 0.0;
  for (int r = 0; r < s->tp; r++)
    sum += rt_shards_get(s, r, col);
  return sum;
}

rt_exp_sum rt_shards_exp_sum(const rt_shards *s, int col_max, int col_sum)
{
  rt_exp_sum x = {.max = -INFINITY};
  for (int r = 0; r < s->tp; r++)
    x.max = fmax(x.max, rt_shards_get(s, r, col_max));
  x.sum = rt_shards_scaled(s, col_sum, col_max, x.max);
  return x;
}

double rt_exp_sum_log(rt_exp_sum x)
{
  return x.max + log(x.sum);
}

double rt_shards_scaled(const rt_shards *s, int col, int col_max, double max)
{
  double sum = 0.0;
  for (int r = 0; r < s->tp; r++)
    sum += rt_shards_get(s, r, col) * exp(rt_shards_get(s, r, col_max) - max);
  return sum;
}
