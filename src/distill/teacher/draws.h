/** \file draws.h
 *  Random draws from a teacher's softmax.  Layer: distill/teacher. */
#ifndef RT_DRAWS_H
#define RT_DRAWS_H

#include <stdint.h>

/** Random-sampling KD (arXiv 2503.16870): instead of the largest entries, N ids
 *  drawn from the full softmax, with how often each came.  A draw is a function
 *  of (seed, row of the stream, token, number); of tp by rounding only. */
typedef struct rt_draws {
  int64_t n; /**< N; 0: truncate */
  uint64_t seed;
} rt_draws;

/** The uniform numbers of token \a t of row \a row, rising, into \a u [N]. */
void rt_draws_numbers(const rt_draws *draws, int64_t row, int64_t t, double *u);

/** An id, and how many draws gave it. */
typedef struct rt_drawn_id {
  int32_t id, times;
} rt_drawn_id;

/** The ids \a drawn [n], which are sorted, as entries: each id once with
 *  log(times / n), most often drawn first, ties by id.  Returns how many.
 *  \param scratch  [n]   \param[out] ids, logp  [n] */
int32_t rt_draws_count(int32_t *drawn, int64_t n, rt_drawn_id *scratch,
                       int32_t *ids, float *logp);

#endif
