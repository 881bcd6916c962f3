/** \file truncate.h
 *  Top-p, then top-k, of one token's teacher distribution, and the target
 *  computed from the entries kept (arXiv 2410.16215, Eq. 4).  Layer: kernels.
 */
#ifndef RT_TRUNCATE_H
#define RT_TRUNCATE_H

#include "base/err.h"
#include <stdint.h>

typedef struct rt_truncation {
  double top_p; /**< mass of the full softmax at temperature 1, including the
                   token that crosses it; >= 1 keeps all */
  int64_t top_k;
} rt_truncation;

/** Number of entries kept of \a n log-probs in descending order; at least 1 if
 *  n > 0. */
int64_t rt_truncate_count(const float *logp, int64_t n, rt_truncation rule);

/** Target over the kept entries, softmax(logp / tau); returns its entropy in
 *  nats.
 *  \param t  [n] */
double rt_truncate_target(const float *logp, int64_t n, double tau, double *t);

#endif
