/** \file step.h
 *  One training step.  Layer: distill/train. */
#ifndef RT_STEP_H
#define RT_STEP_H

#include "distill/train/trainer.h"

typedef struct rt_step_result {
  double loss, lm, kd;
  double alpha, lr, grad_norm;
  double entries; /**< teacher entries per token */
  bool bad;       /**< NaN, Inf or a gradient spike: nothing was updated */
  double seconds; /**< since the step before was complete, or since this one was
                     launched, if that was later */
} rt_step_result;

/** What steps ask of the device: per step, see rt_trainer_counts. */
typedef struct rt_step_counts {
  double host_waits;         /**< times that the host waits for the device */
  double optimizer_launches; /**< kernels and copies of clearing gradients, norm
                                and update */
  int64_t drains; /**< of all steps: times that the host waited for the result
                     of the last step in the queue */
} rt_step_counts;
/** Means over the steps so far; 0 if there were none. */
rt_step_counts rt_trainer_counts(const rt_trainer *trainer);

/** Queue step \a step: all micro-steps, reduction, update.  Fewer than
 *  RT_STEPS_OPEN steps may be open.  Collective. */
RT_MUST rt_err rt_trainer_step(rt_trainer *trainer, int64_t step);
/** Steps that are open: their results have not been taken. */
int64_t rt_trainer_n_open(const rt_trainer *trainer);
/** Steps to leave open, so that the device has work while the host looks at a
 *  result: none, if they are complete when they are launched.  The same on all
 *  ranks. */
int64_t rt_trainer_lag(const rt_trainer *trainer);
/** The result of the first open step, once it is complete.  All ranks get the
 *  same, and take the same number before each step. */
RT_MUST rt_err rt_trainer_result(rt_trainer *trainer, rt_step_result *out);

#endif
