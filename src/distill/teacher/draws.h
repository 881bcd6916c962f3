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

#endif
