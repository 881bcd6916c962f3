/** \file split.h
 *  Even division of n items into parts (the first n % parts have one more), and
 *  chunk sizes that fit into given memory.  Layer: base. */
#ifndef RT_SPLIT_H
#define RT_SPLIT_H

#include <stdint.h>

/** First item of part \a i (0 <= i <= parts; i = parts gives n). */
int64_t rt_split_begin(int64_t n, int parts, int i);
/** Number of items in part \a i. */
int64_t rt_split_count(int64_t n, int parts, int i);
/** Smallest multiple of \a step that is >= n. */
int64_t rt_round_up(int64_t n, int64_t step);
/** Rows per chunk of \a n rows if \a max rows fit (below 1 counts as 1): the
 *  smallest number of chunks, of nearly equal size, and a multiple of 16 if 16
 *  rows fit.  (A matrix product of 340 rows took 8 % longer per row than one of
 *  336.) */
int64_t rt_chunk_rows(int64_t n, double max);

#endif
