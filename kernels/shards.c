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

/** Number of true (unpadded) ids of vocabulary shard \a r. */
static double true_ids(int64_t tile, int64_t vocab, int r)
{
  const int64_t left = vocab - r * tile;
  return (double)(left < 0 ? 0 : left < tile ? left : tile);
}

void rt_shards_spread(const rt_shards *s, int64_t tile, int64_t vocab,
                      double *entropy, double *deviation)
{
  const rt_exp_sum all = rt_shards_exp_sum(s, K_STAT_MAX, K_STAT_SUM);
  const double n_ids = (double)vocab;
  double exp_z = 0.0, z = 0.0, zz = 0.0; // of z - max over the whole vocabulary
  for (int r = 0; r < s->tp; r++) {
    const double n = true_ids(tile, vocab, r);
    if (n == 0.0)
      continue; // this shard has only padding
    const double by = rt_shards_get(s, r, K_STAT_MAX) - all.max;
    const double sum_z = rt_shards_get(s, r, K_STAT_Z);
    exp_z += exp(by) * (rt_shards_get(s, r, K_STAT_EXP_Z) +
                        by * rt_shards_get(s, r, K_STAT_SUM));
    z += sum_z + n * by;
    zz += rt_shards_get(s, r, K_STAT_ZZ) + 2.0 * by * sum_z + n * by * by;
  }
  const double mean = z / n_ids;
  *entropy = fmax(0.0, log(all.sum) - exp_z / all.sum);
  *deviation = sqrt(fmax(0.0, zz / n_ids - mean * mean));
}
