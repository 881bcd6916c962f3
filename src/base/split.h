/** \file split.h
 *  Even splits of n things over parts; the first n % parts get one more.
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

#endif
