/** \file draws.h
 *  Random draws from a teacher's softmax.  Layer: distill/teacher. */
#ifndef RT_DRAWS_H
#define RT_DRAWS_H

#include <stdint.h>

/** Random-sampling KD (arXiv 2503.16870): instead of the largest entries, N ids
 *  drawn from the full softmax, with the number of times each was drawn.  A
 *  draw is a function of (seed, row of the stream, token, index of the draw);
 *  it depends on tp through rounding only. */
typedef struct rt_draws {
  int64_t n; /**< N; 0: truncate instead */
  uint64_t seed;
} rt_draws;

/** Write the uniform random numbers of token \a t of row \a row to \a u [N],
 *  ascending. */
void rt_draws_numbers(const rt_draws *draws, int64_t row, int64_t t, double *u);

/** An id, and the number of times it was drawn. */
typedef struct rt_drawn_id {
  int32_t id, times;
} rt_drawn_id;

/** Convert the ids \a drawn [n], which are sorted in place, to entries: each id
 *  once with log(times / n), in descending order, ties by id.  Returns their
 *  number.
 *  \param scratch  [n]
 *  \param[out] ids, logp  [n] */
int32_t rt_draws_count(int32_t *drawn, int64_t n, rt_drawn_id *scratch,
                       int32_t *ids, float *logp);

#endif
