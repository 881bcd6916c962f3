/** \file entry_counts.h
 *  How many entries tokens have, and would have under narrower rules: what
 *  `retort logits info` and a count-only capture tell.  Layer: distill. */
#ifndef RT_ENTRY_COUNTS_H
#define RT_ENTRY_COUNTS_H

#include "par/comm.h"
#include <stdio.h>

/** Counters over a grid of top-p (narrower than what is given, then what is
 *  given) and of top-k (the same).  Opaque, heap. */
typedef struct rt_entry_counts rt_entry_counts;

/** For tokens that have at most \a most entries, kept by \a top_p (1: by \a
 *  most alone; 0: not by probability, then only they are counted). */
RT_MUST rt_err rt_entry_counts_create(double top_p, int64_t most,
                                      rt_entry_counts **out);
void rt_entry_counts_destroy(rt_entry_counts **c);
/** One more token, with log-probs logp [n], largest first. */
void rt_entry_counts_add(rt_entry_counts *c, const float *logp, int64_t n);
/** Over all ranks.  Collective. */
RT_MUST rt_err rt_entry_counts_sum(rt_entry_counts *c, const rt_comm *comm);

int64_t rt_entry_counts_tokens(const rt_entry_counts *c);
/** What the grid has: n_p rows, n_k columns. */
void rt_entry_counts_shape(const rt_entry_counts *c, int *n_p, int *n_k);

/** A cell of the grid, over all tokens. */
typedef struct rt_entry_cell {
  double top_p;
  int64_t top_k;
  double entries, mass;           /**< mean of a token */
  int64_t median, most95, most99; /**< so many have half, 95 %, 99 % of the
                                       tokens at most */
} rt_entry_cell;
rt_entry_cell rt_entry_counts_cell(const rt_entry_counts *c, int i_p, int i_k);

/** Lines for people: a histogram, then the grid. */
void rt_entry_counts_print_histogram(const rt_entry_counts *c);
void rt_entry_counts_print_grid(const rt_entry_counts *c);

#endif
