/** \file schedule.h
 *  Learning rate and alpha as pure functions of the step.  Layer: optim.
 *  Paper 1 (arXiv 2410.16215), section on WSD; shapes in doc/numerics.md. */
#ifndef RT_SCHEDULE_H
#define RT_SCHEDULE_H

#include <stdint.h>

typedef enum rt_shape {
  RT_SHAPE_CONSTANT,
  RT_SHAPE_LINEAR_UP,   /**< floor -> max over the run */
  RT_SHAPE_LINEAR_DOWN, /**< max -> floor over the run */
  RT_SHAPE_COSINE,      /**< linear warm-up, then cosine max -> floor */
  RT_SHAPE_WSD          /**< linear warm-up, plateau, cosine max -> floor */
} rt_shape;

typedef struct rt_schedule {
  rt_shape shape;
  double max, floor;
  int64_t n_steps, warmup, decay; /**< in steps */
} rt_schedule;

/** Value at step s = 0 .. n_steps - 1.  Warm-up: max * (s + 1) / warmup (from
 *  floor for alpha's WSD: floor 0).  Steps >= n_steps give the last value. */
double rt_schedule_at(const rt_schedule *s, int64_t step);

#endif
