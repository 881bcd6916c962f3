/** \file schedules.h
 *  The schedules that the deck requests.  Layer: distill. */
#ifndef RT_SCHEDULES_H
#define RT_SCHEDULES_H

#include "deck/deck.h"
#include "optim/schedule.h"

/** Schedule of train.lr_* for a run of \a n_steps; every shape warms up. */
rt_schedule rt_lr_schedule(const rt_deck *deck, int64_t tokens_per_step,
                           int64_t n_steps);
/** Schedule of loss.alpha_*; only wsd warms up and decays. */
rt_schedule rt_alpha_schedule(const rt_deck *deck, int64_t tokens_per_step,
                              int64_t n_steps);
/** Warn about keys that were set but that these schedules do not use. */
void rt_schedules_tell_unused(const rt_deck *deck);

#endif
