/** \file trainer.h
 *  What a training step needs.  Layer: distill/train. */
#ifndef RT_TRAINER_H
#define RT_TRAINER_H

#include "distill/capture/window_capture.h"
#include "distill/data/feed.h"
#include "distill/train/same_run.h"
#include "optim/adamw.h"
#include "optim/gradsync.h"
#include "optim/schedule.h"

typedef struct rt_trainer {
  rt_job *job;         // borrowed
  rt_model *model;     // owned, as all below
  rt_teacher *teacher; /**< NULL: language modelling only */
  rt_objective *objective;
  rt_train_capture *capture; /**< NULL: none in this run */
  rt_adamw *opt;
  rt_gradsync *sync;
  rt_feed *feed;
  rt_schedule lr, alpha;
  uint64_t rows_seen; /**< hash of this rank's rows so far */
  int64_t n_updates;  /**< t of AdamW: steps that were not skipped */
  int64_t n_skipped;
  double norm_mean; /**< running mean of the gradient norm, 0 at the start */
  rt_run_id id;     /**< of this run, for its checkpoints */
  rt_arena *input;  /**< owned: the three below */
  rt_view tok, pos, doc_start; /**< i32 [N, 1] on the device */
} rt_trainer;

/** Plan everything; allocate nothing.  Collective. */
RT_MUST rt_err rt_trainer_create(rt_job *job, rt_trainer **out);
/** Allocate, start weights (random or loaded).  Collective. */
RT_MUST rt_err rt_trainer_commit(rt_trainer *trainer);
void rt_trainer_destroy(rt_trainer **trainer);
/** Plans of its memory; returns how many of at most 10. */
int rt_trainer_arenas(const rt_trainer *trainer, const rt_arena *plans[10]);
/** Start the feed at \a step.  Before the first rt_trainer_step. */
RT_MUST rt_err rt_trainer_seek(rt_trainer *trainer, int64_t step);

#endif
