/** \file same_run.h
 *  Is this the run that a checkpoint is of?  Layer: distill/train.
 *  All are collective. */
#ifndef RT_SAME_RUN_H
#define RT_SAME_RUN_H

#include "distill/job/job.h"

/** What a run is made of, beyond its deck. */
typedef struct rt_run_id {
  uint64_t rows_xxh3;          /**< of the training stream, here and there */
  char teacher[RT_SHA256_HEX]; /**< "" without one */
  char origin[RT_SHA256_HEX];  /**< see rt_run_id_origin; "" not known */
} rt_run_id;

/** Rows and teacher of \a job. */
RT_MUST rt_err rt_run_id_read(const rt_job *job, rt_run_id *id);
/** RT_ERR_CONFIG for a deck, a training stream, a teacher or a window of logits
 *  that is not the checkpoint's, unless the deck allows it. */
RT_MUST rt_err rt_run_id_check(const rt_job *job, const rt_run_id *id,
                               const rt_checkpoint_meta *meta);
/** Fill in id->origin, what the run began from, unless its checkpoint said so:
 *  SHA-256 over the hashes of the student's and the teacher's weights and of
 *  the dataset, or, of a run that was not asked at its beginning, over the seal
 *  of the checkpoint of step \a saved that it goes on from.  Equal decks and
 *  origins: one model.  Checkpoints keep it. */
RT_MUST rt_err rt_run_id_origin(const rt_job *job, int64_t saved,
                                rt_run_id *id);

#endif
