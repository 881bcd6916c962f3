/** \file schedules.h
 *  The schedules that the deck asks for.  Layer: distill. */
#ifndef RT_SCHEDULES_H
#define RT_SCHEDULES_H

#include "deck/deck.h"
#include "optim/schedule.h"

/** train.lr_* of a run of \a n_steps; every shape warms up. */
rt_schedule rt_lr_schedule(const rt_deck *deck, int64_t tokens_per_step,
                           int64_t n_steps);
/** loss.alpha_*: only wsd warms up and decays. */
rt_schedule rt_alpha_schedule(const rt_deck *deck, int64_t tokens_per_step,
                              int64_t n_steps);
/** Warn of keys that were set and that the shapes above do not use. */
void rt_schedules_tell_unused(const rt_deck *deck);

#endif
