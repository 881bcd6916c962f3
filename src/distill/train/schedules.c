/** \file schedules.c
 *  The keys that each schedule uses. */
#include "distill/train/schedules.h"

#include "distill/job/job.h"

#include <string.h>

static rt_schedule_shape shape_of(const rt_deck *deck, rt_key key)
{
  static const struct {
    const char *word;
    rt_schedule_shape shape;
  } shapes[] = {{"constant", RT_SHAPE_CONSTANT},
                {"linear_up", RT_SHAPE_LINEAR_UP},
                {"linear_down", RT_SHAPE_LINEAR_DOWN},
                {"cosine", RT_SHAPE_COSINE},
                {"wsd", RT_SHAPE_WSD}};
  const char *const word = rt_deck_text(deck, key);
  size_t i = 0;
  while (strcmp(shapes[i].word, word) != 0)
    i++; // the deck's choices are a subset
  return shapes[i].shape;
}

rt_schedule rt_lr_schedule(const rt_deck *deck, int64_t tokens_per_step,
                           int64_t n_steps)
{
  const double max = rt_deck_real(deck, RT_KEY_TRAIN_LR);
  return (rt_schedule){.shape = shape_of(deck, RT_KEY_TRAIN_LR_SHAPE),
                       .max = max,
                       .floor = max * rt_deck_real(deck, RT_KEY_TRAIN_LR_FLOOR),
                       .n_steps = n_steps,
                       .warmup = rt_deck_steps(deck, RT_KEY_TRAIN_LR_WARMUP,
                                               tokens_per_step, n_steps),
                       .decay = rt_deck_steps(deck, RT_KEY_TRAIN_LR_DECAY,
                                              tokens_per_step, n_steps)};
}

rt_schedule rt_alpha_schedule(const rt_deck *deck, int64_t tokens_per_step,
                              int64_t n_steps)
{
  rt_schedule s = {.shape = shape_of(deck, RT_KEY_LOSS_ALPHA_SHAPE),
                   .max = rt_deck_real(deck, RT_KEY_LOSS_ALPHA),
                   .n_steps = n_steps};
  if (s.shape != RT_SHAPE_WSD)
    return s;
  s.warmup =
      rt_deck_steps(deck, RT_KEY_LOSS_ALPHA_WARMUP, tokens_per_step, n_steps);
  s.decay =
      rt_deck_steps(deck, RT_KEY_LOSS_ALPHA_DECAY, tokens_per_step, n_steps);
  return s;
}

void rt_schedules_tell_unused(const rt_deck *deck)
{
  static const rt_key alpha[] = {RT_KEY_LOSS_ALPHA_WARMUP,
                                 RT_KEY_LOSS_ALPHA_DECAY};
  static const rt_key decay[] = {RT_KEY_TRAIN_LR_DECAY};
  static const rt_key floor[] = {RT_KEY_TRAIN_LR_FLOOR};
  if (!rt_deck_is(deck, RT_KEY_LOSS_ALPHA_SHAPE, "wsd"))
    rt_job_tell_unused(deck, alpha, 2, "loss.alpha_schedule is not wsd");
  if (!rt_deck_is(deck, RT_KEY_TRAIN_LR_SHAPE, "wsd"))
    rt_job_tell_unused(deck, decay, 1, "train.lr_schedule is not wsd");
  if (rt_deck_is(deck, RT_KEY_TRAIN_LR_SHAPE, "constant"))
    rt_job_tell_unused(deck, floor, 1, "train.lr_schedule is constant");
}
