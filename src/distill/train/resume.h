/** \file resume.h
 *  Writes, finds and resumes from a run's checkpoints.  Layer: distill/train.
 *  Collective except for the first function. */
#ifndef RT_RESUME_H
#define RT_RESUME_H

#include "distill/train/trainer.h"

/** Memory in bytes that writing a checkpoint takes on a rank. */
double rt_resume_memory(const rt_job *job);
/** Write the checkpoint of \a step, then remove those that the deck does not
 *  keep. */
RT_MUST rt_err rt_resume_save(rt_trainer *trainer, int64_t step);
/** Resume from the newest checkpoint; *step = -1 if there is none.  A restart
 *  on the same layout (ranks, tp, micro-rows) is bitwise identical; any other
 *  layout continues with the same rows and is equal up to rounding.  Refused if
 *  it is not the same run (same_run.h). */
RT_MUST rt_err rt_resume_begin(rt_trainer *trainer, int64_t *step);
/** Read only the weights, into a committed model; *step = -1: there are none.
 */
RT_MUST rt_err rt_resume_weights(const rt_job *job, rt_model *model,
                                 const char *run_folder, int64_t *step);

#endif
