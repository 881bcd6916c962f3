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

enum { LANES = 8 };

/** Sums over entries, each lane over every eighth: the same order for any
 *  vectors of the processor. */
typedef struct sums {
  double t[LANES];   // e^x
  double dot[LANES]; // x e^x
} sums;

/** t = e^x with x = (logp - top) rate, of LANES entries. */
static inline void add(const float *logp, double top, double rate, double *t,
                       sums *s)
{
#pragma omp simd
  for (int k = 0; k < LANES; k++) {
    const double x = ((double)logp[k] - top) * rate;
    t[k] = k_exp_f64(x);
    s->t[k] += t[k];
    s->dot[k] += t[k] > 0.0 ? t[k] * x : 0.0;
  }
}

static double total(const double x[LANES])
{
  return ((x[0] + x[1]) + (x[2] + x[3])) + ((x[4] + x[5]) + (x[6] + x[7]));
}

double rt_truncate_target(const float *logp, int64_t n, double tau, double *t)
{
  if (n == 0)
    return 0.0;
  const double top = (double)logp[0], rate = 1.0 / tau; // top: the maximum
  sums s = {{0.0}, {0.0}};
  int64_t i = 0;
  for (; i + LANES <= n; i += LANES)
    add(logp + i, top, rate, t + i, &s);
  if (i < n) {
    double last[LANES];
    float padded[LANES];
    for (int k = 0; k < LANES; k++)
      padded[k] = i + k < n ? logp[i + k] : -INFINITY;
    add(padded, top, rate, last, &s);
    for (int k = 0; i + k < n; k++)
      t[i + k] = last[k];
  }
  const double sum = total(s.t), scale = 1.0 / sum;
  for (i = 0; i < n; i++)
    t[i] *= scale;
  return log(sum) - total(s.dot) * scale; // H = log sum - E[x]
}
