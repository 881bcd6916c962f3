/** \file job_train.h
 *  The training run that the deck of a job asks for.  Layer: distill/train. */
#ifndef RT_JOB_TRAIN_H
#define RT_JOB_TRAIN_H

#include "distill/job/job.h"
#include "distill/train/progress.h"
#include "distill/train/run_folder.h"
#include "distill/train/trainer.h"

/** The run, whose job has its config.json; borrows from the job. */
rt_run_spec rt_job_run(const rt_job *job);
/** FLOPs of one step over all ranks: student forward and backward, live
 *  teacher's forward. */
double rt_job_step_flops(const rt_job *job);
/** The peak of a rank, in products of the student's type. */
rt_peak_spec rt_job_peak(const rt_job *job);
/** Progress of the run, relative to \a peak; both are borrowed. */
rt_progress_spec rt_job_progress(const rt_job *job, const rt_peak *peak);
/** What the run's card says of its dataset; borrows from the job. */
rt_run_card rt_job_card(const rt_job *job);
/** Plan the trainer of the run, and count its memory.  Warns about keys that
 *  have no effect.  The caller destroys it, also after an error.  Collective.
 */
RT_MUST rt_err rt_job_trainer(rt_job *job, rt_trainer **out);

#endif
