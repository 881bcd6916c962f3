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

/** 0 where rounding makes \a x negative; unlike fmax it keeps a NaN. */
static double not_below_0(double x)
{
  return x < 0.0 ? 0.0 : x;
}

void rt_shards_spread(const rt_shards *s, double *entropy, double *deviation)
{
  const rt_exp_sum all = rt_shards_exp_sum(s, K_STAT_MAX, K_STAT_SUM);
  const double n_ids = rt_shards_sum(s, K_STAT_IDS);
  double exp_z = 0.0, z = 0.0, zz = 0.0; // of z - max over the whole vocabulary
  for (int r = 0; r < s->tp; r++) {
    const double n = rt_shards_get(s, r, K_STAT_IDS);
    if (n == 0.0)
      continue; // this shard has only padding, or nothing but -inf
    const double by = rt_shards_get(s, r, K_STAT_MAX) - all.max;
    const double sum_z = rt_shards_get(s, r, K_STAT_Z);
    exp_z += exp(by) * (rt_shards_get(s, r, K_STAT_EXP_Z) +
                        by * rt_shards_get(s, r, K_STAT_SUM));
    z += sum_z + n * by;
    zz += rt_shards_get(s, r, K_STAT_ZZ) + 2.0 * by * sum_z + n * by * by;
  }
  const double mean = z / n_ids;
  *entropy = not_below_0(log(all.sum) - exp_z / all.sum);
  *deviation = sqrt(not_below_0(zz / n_ids - mean * mean));
}
