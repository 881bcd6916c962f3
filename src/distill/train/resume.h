/** \file resume.h
 *  A run's checkpoints: kept, found, gone on from.  Layer: distill/train.
 *  Collective but for the first. */
#ifndef RT_RESUME_H
#define RT_RESUME_H

#include "distill/train/trainer.h"

/** Bytes of memory that writing a checkpoint takes on a rank. */
double rt_resume_memory(const rt_job *job);
/** Write the checkpoint of \a step, then remove what the deck does not keep. */
RT_MUST rt_err rt_resume_save(rt_trainer *trainer, int64_t step);
/** Go on from the newest checkpoint; *step = -1 when there is none.  A restart
 *  on the same layout (ranks, tp, micro-rows) is bit-identical; any other
 *  continues with the same rows, equal to rounding.  Refused for what is not
 *  the same run (same_run.h). */
RT_MUST rt_err rt_resume_begin(rt_trainer *trainer, int64_t *step);
/** Weights only, into a committed model; *step = -1: there are none. */
RT_MUST rt_err rt_resume_weights(const rt_job *job, rt_model *model,
                                 const char *run_folder, int64_t *step);

#endif
