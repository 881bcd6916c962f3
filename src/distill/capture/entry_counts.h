/** \file entry_counts.h
 *  Counts how many entries tokens have, and would have with narrower
 *  truncation; used by `retort logits info` and count-only captures.  Layer:
 *  distill. */
#ifndef RT_ENTRY_COUNTS_H
#define RT_ENTRY_COUNTS_H

#include "par/comm.h"
#include <stdio.h>

/** Counters for a grid of top-p and top-k values, up to those of the data.
 *  Opaque, heap. */
typedef struct rt_entry_counts rt_entry_counts;

/** For tokens with at most \a max entries, truncated by \a top_p (1: by \a
 *  max only; 0: not by probability, in which case entries are only counted).
 */
RT_MUST rt_err rt_entry_counts_create(double top_p, int64_t max,
                                      rt_entry_counts **out);
void rt_entry_counts_destroy(rt_entry_counts **c);
/** Add a token with log-probs \a logp [n] in descending order. */
void rt_entry_counts_add(rt_entry_counts *c, const float *logp, int64_t n);
/** Sum the counters over all ranks.  Collective. */
RT_MUST rt_err rt_entry_counts_sum(rt_entry_counts *c, const rt_comm *comm);

int64_t rt_entry_counts_tokens(const rt_entry_counts *c);
/** Shape of the grid: n_p rows, n_k columns. */
void rt_entry_counts_shape(const rt_entry_counts *c, int *n_p, int *n_k);

/** A cell of the grid, over all tokens. */
typedef struct rt_entry_cell {
  double top_p;
  int64_t top_k;
  double entries, mass; /**< means per token */
  int64_t median, most95,
      most99; /**< quantiles of the number of entries: 50 %, 95 %, 99 % of
                 tokens have at most this many */
} rt_entry_cell;
rt_entry_cell rt_entry_counts_cell(const rt_entry_counts *c, int i_p, int i_k);

/** Print a histogram; print the grid. */
void rt_entry_counts_print_histogram(const rt_entry_counts *c);
void rt_entry_counts_print_grid(const rt_entry_counts *c);

#endif
