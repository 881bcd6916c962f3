/** \file head.c */
#include "model/head.h"

#include <math.h>

void rt_head_logits(rt_dev *dev, const rt_head *head, rt_view hidden,
                    rt_view logits)
{
  RT_RUN(dev, gemm, .a = hidden, .b = head->w, .c = logits, .trans_b = true,
         .alpha = 1.0);
}

/** Number of true (unpadded) ids of vocabulary shard \a r. */
static double true_ids(const rt_head *head, int r)
{
  const int64_t left = head->vocab - r * head->w.rows;
  return (double)(left < 0 ? 0 : left < head->w.rows ? left : head->w.rows);
}

void rt_shards_spread(const rt_shards *s, const rt_head *head, double *entropy,
                      double *deviation)
{
  const rt_exp_sum all = rt_shards_exp_sum(s, K_STAT_MAX, K_STAT_SUM);
  const double vocab = (double)head->vocab;
  double exp_z = 0.0, z = 0.0, zz = 0.0; // of z - max over the whole vocabulary
  for (int r = 0; r < s->tp; r++) {
    const double n = true_ids(head, r);
    if (n == 0.0)
      continue; // this shard has only padding
    const double by = rt_shards_get(s, r, K_STAT_MAX) - all.max;
    const double sum_z = rt_shards_get(s, r, K_STAT_Z);
    exp_z += exp(by) * (rt_shards_get(s, r, K_STAT_EXP_Z) +
                        by * rt_shards_get(s, r, K_STAT_SUM));
    z += sum_z + n * by;
    zz += rt_shards_get(s, r, K_STAT_ZZ) + 2.0 * by * sum_z + n * by * by;
  }
  const double mean = z / vocab;
  *entropy = fmax(0.0, log(all.sum) - exp_z / all.sum);
  *deviation = sqrt(fmax(0.0, zz / vocab - mean * mean));
}
