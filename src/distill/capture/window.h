/** \file window.h
 *  The window of training steps whose logits are saved.  Layer: distill.  Not
 *  collective. */
#ifndef RT_WINDOW_H
#define RT_WINDOW_H

#include "deck/deck.h"

/** Steps [first, first + n_steps); n_steps 0: no window. */
typedef struct rt_window {
  int64_t first, n_steps;
  int64_t shard_steps; /**< S, steps per shard, divides n_steps; 0 before
                          rt_window_cut */
  int64_t left_out;    /**< steps dropped at the beginning by rt_window_cut */
} rt_window;

/** Limit \a n_steps steps from step \a first on to a run of \a run_steps steps.
 *  RT_ERR_CONFIG if the window starts after its end. */
RT_MUST rt_err rt_window_init(int64_t first, int64_t n_steps, int64_t run_steps,
                              rt_window *out);
/** Read the window from the deck, before rounding to shards.  RT_ERR_CONFIG for
 *  contradictory keys. */
RT_MUST rt_err rt_window_read(const rt_deck *deck, int64_t tokens_per_step,
                              rt_window *out);
/** Round the window down to whole shards of at most \a most_steps steps, and at
 *  least half of that: the length that drops the fewest steps.  The window
 *  always keeps its last step. */
void rt_window_cut(rt_window *w, int64_t most_steps);

#endif
