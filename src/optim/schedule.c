/** \file schedule.c
 *  Learning rate and alpha as functions of the step.
 *
 *    warm-up, s < W:         max (s + 1) / W
 *    cosine, after warm-up:  floor + (max - floor) (1 + cos(pi x)) / 2,
 *                            x = (s - W) / (n - 1 - W)
 *    wsd:                    max until s = n - D, then the same cosine with
 *                            x = (s - (n - D) + 1) / D; the last step is floor
 *    linear up, down:        between floor and max, x = s / (n - 1)
 *
 *  n is the number of steps, W of the warm-up, D of the decay.  If a run is too
 *  short for both, D is what the warm-up leaves.  Alpha has floor 0, and a
 *  warm-up only with wsd. */
#include "optim/schedule.h"

#include <math.h>

static double cosine(const rt_schedule *s, double x)
{
  return s->floor + (s->max - s->floor) * 0.5 * (1.0 + cos(M_PI * x));
}

/** a / b clamped to 0..1.  An empty range counts as its beginning, so that a
 *  run of one step does not have rate 0. */
static double share(int64_t a, int64_t b)
{
  if (b <= 0 || a <= 0)
    return 0.0;
  return a >= b ? 1.0 : (double)a / (double)b;
}

static double warmed_up(const rt_schedule *s, int64_t step)
{
  if (s->shape == RT_SHAPE_COSINE)
    return cosine(s, share(step - s->warmup, s->n_steps - 1 - s->warmup));
  if (s->shape != RT_SHAPE_WSD)
    return s->max;
  const int64_t from = s->n_steps - s->decay;
  const int64_t decay_from = from > s->warmup ? from : s->warmup;
  if (step < decay_from)
    return s->max;
  return cosine(s, share(step - decay_from + 1, s->n_steps - decay_from));
}

double rt_schedule_at(const rt_schedule *s, int64_t step)
{
  const int64_t last = s->n_steps - 1;
  const int64_t at = step > last ? last : step;
  const double x = share(at, last);
  if (s->shape == RT_SHAPE_LINEAR_UP)
    return s->floor + (s->max - s->floor) * x;
  if (s->shape == RT_SHAPE_LINEAR_DOWN)
    return s->max - (s->max - s->floor) * x;
  if (at < s->warmup)
    return s->max * (double)(at + 1) / (double)s->warmup;
  return warmed_up(s, at);
}
