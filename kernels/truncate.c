/** \file truncate.c
 *  Top-p, then top-k, and the renormalised target.  Sums are computed in double
 *  and in order of probability, so live and stored entries give the same bits.
 */
#include "kernels/truncate.h"

#include <math.h>

int64_t rt_truncate_count(const float *logp, int64_t n, rt_truncation rule)
{
  const int64_t max = n < rule.top_k ? n : rule.top_k;
  if (rule.top_p >= 1.0)
    return max;
  double mass = 0.0;
  for (int64_t i = 0; i < max; i++) {
    mass += exp((double)logp[i]);
    if (mass >= rule.top_p)
      return i + 1; // includes the token that crosses p
  }
  return max;
}

double rt_truncate_target(const float *logp, int64_t n, double tau, double *t)
{
  if (n == 0)
    return 0.0;
  double sum = 0.0, dot = 0.0;
  for (int64_t i = 0; i < n; i++) { // logp[0] is the maximum
    const double shifted = ((double)logp[i] - (double)logp[0]) / tau;
    t[i] = exp(shifted);
    sum += t[i];
    dot += t[i] > 0.0 ? t[i] * shifted : 0.0; // shifted may be -inf
  }
  for (int64_t i = 0; i < n; i++)
    t[i] /= sum;
  return log(sum) - dot / sum; // H = log sum - E[shifted]
}
