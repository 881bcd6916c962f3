/** \file truncate.h
 *  Top-p, then top-k, of one token's teacher distribution; and the target made
 *  from what was kept.  Layer: distill.  Paper 1, Eq. 4. */
#ifndef RT_TRUNCATE_H
#define RT_TRUNCATE_H

#include "base/err.h"
#include <stdint.h>

typedef struct rt_truncation {
  double top_p; /**< mass of the full softmax at temperature 1; the crossing
                     token is kept; >= 1 keeps all */
  int64_t top_k;
} rt_truncation;

/** How many of the \a n log-probs (largest first) stay; at least 1 of n > 0. */
int64_t rt_truncate_count(const float *logp, int64_t n, rt_truncation rule);

/** Target over the kept entries, softmax(logp / tau), renormalised; returns its
 *  entropy in nats.  \param t [n] */
double rt_truncate_target(const float *logp, int64_t n, double tau, double *t);

#endif
