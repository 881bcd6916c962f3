/** \file state.h
 *  The state of a run in its checkpoints.  Layer: distill/train. */
#ifndef RT_STATE_H
#define RT_STATE_H

#include "base/file.h"
#include "distill/train/step.h"

/** Where a run's checkpoints lie: RUN_FOLDER/checkpoints.  Not collective. */
RT_MUST rt_err rt_state_folder(char out[RT_PATH_MAX], const char *run_folder);

/** Bytes of memory that writing a checkpoint takes on a rank. */
double rt_state_memory(const rt_job *job);
/** Student state to and from checkpoints (train, eval).  A restart on the same
 *  layout (ranks, tp, micro-rows) is bit-identical; any other continues with
 *  the same rows, equal to rounding. All are collective. */
RT_MUST rt_err rt_state_save(rt_trainer *trainer, int64_t step);
/** *step = -1 when there is none.  Refused for a deck, a training stream
 * (hashed here and there, for rt_state_save too) or a teacher that is not the
 * same. */
RT_MUST rt_err rt_state_resume(rt_trainer *trainer, int64_t *step);
/** Fill in what the run began from, beyond its deck, unless its checkpoint said
 *  so: SHA-256 over the hashes of the student's and the teacher's weights and
 *  of the dataset, or, of a run that was not asked at its beginning, over the
 *  seal of the checkpoint of step \a saved that it goes on from.  Equal decks
 *  and origins: one model.  Checkpoints keep it.  Collective. */
RT_MUST rt_err rt_state_origin(rt_trainer *trainer, int64_t saved);
/** Weights only, into a committed model; *step = -1: there are none. */
RT_MUST rt_err rt_state_load_weights(const rt_job *job, rt_model *model,
                                     const char *run_folder, int64_t *step);

#endif
