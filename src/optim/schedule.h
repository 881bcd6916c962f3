/** \file schedule.h
 *  Learning rate and alpha as pure functions of the step (arXiv 2410.16215,
 *  section on WSD; formulas in doc/numerics.md).  Layer: optim. */
#ifndef RT_SCHEDULE_H
#define RT_SCHEDULE_H

#include <stdint.h>

typedef enum rt_schedule_shape {
  RT_SHAPE_CONSTANT,
  RT_SHAPE_LINEAR_UP,   /**< floor -> max over the run */
  RT_SHAPE_LINEAR_DOWN, /**< max -> floor over the run */
  RT_SHAPE_COSINE,      /**< linear warm-up, then cosine max -> floor */
  RT_SHAPE_WSD          /**< linear warm-up, plateau, cosine max -> floor */
} rt_schedule_shape;

typedef struct rt_schedule {
  rt_schedule_shape shape;
  double max, floor;
  int64_t n_steps, warmup, decay; /**< in steps */
} rt_schedule;

/** Value at step s = 0 .. n_steps - 1.  During warm-up: max * (s + 1) / warmup.
 *  Steps >= n_steps have the last value. */
double rt_schedule_at(const rt_schedule *s, int64_t step);

#endif
