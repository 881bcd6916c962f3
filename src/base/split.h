/** \file split.h
 *  Even splits of n things over parts; the first n % parts get one more.  And
 *  chunks that fit some memory.
 *  Layer: base. */
#ifndef RT_SPLIT_H
#define RT_SPLIT_H

#include <stdint.h>

/** First thing of part \a i (0 <= i <= parts; i = parts gives n). */
int64_t rt_split_begin(int64_t n, int parts, int i);
/** Number of things in part \a i. */
int64_t rt_split_count(int64_t n, int parts, int i);
/** Smallest multiple of \a step that is >= n. */
int64_t rt_round_up(int64_t n, int64_t step);
/** Rows of a chunk of \a n rows when \a most fit (below 1 counts as 1): as few
 *  chunks as can be, of nearly one length, a multiple of 16 if 16 fit: a matrix
 *  product of 340 rows took 8 % longer for a row than one of 336. */
int64_t rt_chunk_rows(int64_t n, double most);

#endif
