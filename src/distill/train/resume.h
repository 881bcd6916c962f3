/** \file resume.h
 *  Finds and resumes from a run's checkpoints.  Layer: distill/train.
 *  Collective. */
#ifndef RT_RESUME_H
#define RT_RESUME_H

#include "distill/train/trainer.h"

/** Resume from the newest checkpoint; *step = -1 if there is none.  A restart
 *  on the same layout (ranks, tp, micro-rows) is bitwise identical; any other
 *  layout continues with the same rows and is equal up to rounding.  Refused if
 *  it is not the same run (same_run.h). */
RT_MUST rt_err rt_resume_begin(const rt_run_spec *run, rt_trainer *trainer,
                               int64_t *step);
/** Read only the weights, into a committed model on \a dev; *step = -1: there
 * are none.
 */
RT_MUST rt_err rt_resume_weights(const rt_comm *world, rt_dev *dev,
                                 rt_model *model, const char *run_folder,
                                 int64_t *step);

#endif
