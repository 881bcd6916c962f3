/** \file truncate.c
 *  Top-p, then top-k, and the renormalised target.  Sums are computed in double
 *  and in order of probability, so live and stored entries give the same bits.
 */
#include "kernels/truncate.h"

#include "kernels/exp.h"
#include <math.h>

/** to = exp((logp - top) / tau); a few times faster than one exp() each. */
static void exp_of(const float *logp, int64_t n, double top, double tau,
                   double *to)
{
#pragma omp simd
  for (int64_t i = 0; i < n; i++) {
    to[i] = k_exp_f64(((double)logp[i] - top) / tau);
  }
}

int64_t rt_truncate_count(const float *logp, int64_t n, rt_truncation rule)
{
  enum { BLOCK = 16 };
  const int64_t max = n < rule.top_k ? n : rule.top_k;
  if (rule.top_p >= 1.0)
    return max;
  double mass = 0.0, p[BLOCK];
  for (int64_t i = 0; i < max; i++) {
    if (i % BLOCK == 0)
      exp_of(logp + i, max - i < BLOCK ? max - i : BLOCK, 0.0, 1.0, p);
    mass += p[i % BLOCK];
    if (mass >= rule.top_p)
      return i + 1; // includes the token that crosses p
  }
  return max;
}

double rt_truncate_target(const float *logp, int64_t n, double tau, double *t)
{
  if (n == 0)
    return 0.0;
  const double top = (double)logp[0]; // the maximum
  double sum = 0.0, dot = 0.0;
  exp_of(logp, n, top, tau, t);
  for (int64_t i = 0; i < n; i++) {
    sum += t[i];
    dot += t[i] > 0.0 ? t[i] * (((double)logp[i] - top) / tau) : 0.0;
  }
  const double scale = 1.0 / sum;
  for (int64_t i = 0; i < n; i++)
    t[i] *= scale;
  return log(sum) - dot * scale; // H = log sum - E[(logp - top) / tau]
}
