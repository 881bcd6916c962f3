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
} rt_step_result;

/** What steps ask of the device: per step, see rt_trainer_counts. */
typedef struct rt_step_counts {
  double host_waits;         /**< times that the host waits for the device */
  double optimizer_launches; /**< kernels and copies of clearing gradients, norm
                                and update */
} rt_step_counts;
/** Means over the steps so far; 0 if there were none. */
rt_step_counts rt_trainer_counts(const rt_trainer *trainer);

/** Run step \a step: all micro-steps, reduction, update.  Collective. */
RT_MUST rt_err rt_trainer_step(rt_trainer *trainer, int64_t step,
                               rt_step_result *out);

#endif
