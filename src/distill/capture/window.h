/** \file window.h
 *  The steps of a run whose logits it saves.  Layer: distill.  Not
 *  collective. */
#ifndef RT_WINDOW_H
#define RT_WINDOW_H

#include "deck/deck.h"

/** Steps [first, first + n_steps); n_steps 0: none. */
typedef struct rt_window {
  int64_t first, n_steps;
  int64_t shard_steps; /**< S, divides n_steps; 0 until it is cut */
  int64_t left_out;    /**< steps that the cut took away, at the beginning */
} rt_window;

/** As the deck has it: within the run, not cut.  RT_ERR_CONFIG for keys that
 *  make no sense together. */
RT_MUST rt_err rt_window_read(const rt_deck *deck, int64_t tokens_per_step,
                              rt_window *out);
/** Cut it to whole shards of at most \a most_steps steps, and of at least half
 *  as many: those lengths are tried for the one that leaves out fewest steps.
 *  The last step is always in it. */
void rt_window_cut(rt_window *w, int64_t most_steps);

#endif
