/** \file resume.h
 *  Finds and resumes from a run's checkpoints.  Layer: distill/train.
 *  Collective. */
#ifndef RT_RESUME_H
#define RT_RESUME_H

#include "distill/job/job.h"
#include "distill/train/trainer.h"

/** Resume from the newest checkpoint; *step = -1 if there is none.  A restart
 *  on the same layout (ranks, tp, micro-rows) is bitwise identical; any other
 *  layout continues with the same rows and is equal up to rounding.  Refused if
 *  it is not the same run (same_run.h). */
RT_MUST rt_err rt_resume_begin(const rt_job *job, rt_trainer *trainer,
                               int64_t *step);
/** Read only the weights, into a committed model; *step = -1: there are none.
 */
RT_MUST rt_err rt_resume_weights(const rt_job *job, rt_model *model,
                                 const char *run_folder, int64_t *step);

#endif
