/** \file window_capture.h
 *  The logits of a model in training, saved from its own forward passes over a
 *  window of steps ("online logits" of arXiv 2410.16215).  Layer: distill.
 *
 *  The rows of a step are shared out over *lanes*, one or more to a dp group;
 *  a lane fills shards of its own, so that no rank waits for another.  Rows of
 *  shards that are not full yet are also in a log (io/logits/logits_log.h),
 * which a restarted run reads back: the dataset is the same as without the
 * restart. */
#ifndef RT_TRAIN_CAPTURE_H
#define RT_TRAIN_CAPTURE_H

#include "distill/loss/objective.h"

typedef struct rt_train_capture rt_train_capture;

/** Plan it; NULL in *out when the deck has no window.  \a model and
 *  \a objective (borrowed): whose tiles it will be shown.  Collective. */
RT_MUST rt_err rt_train_capture_create(rt_job *job, rt_model *model,
                                       rt_objective *objective,
                                       rt_train_capture **out);
/** NULL without a capture. */
const rt_arena *rt_train_capture_arena(const rt_train_capture *tc);
RT_MUST rt_err rt_train_capture_commit(rt_train_capture *tc);
void rt_train_capture_destroy(rt_train_capture **tc);

/** All below accept NULL. */

/** Make or find the dataset; what an earlier run wrote of the steps before
 *  \a step is taken over, and must be there.  \a origin: what the run began
 *  from (rt_run_id_origin), RT_ERR_LOCKED if that of the dataset did not.
 *  Collective. */
RT_MUST rt_err rt_train_capture_begin(rt_train_capture *tc, int64_t step,
                                      const char *origin);
/** Look at the tiles of the micro-steps of step \a step, if it is in the
 *  window. */
void rt_train_capture_look(rt_train_capture *tc, int64_t step);
/** The micro-batch is through: its rows to their lanes. */
RT_MUST rt_err rt_train_capture_take(rt_train_capture *tc, const rt_batch *b);
/** The step is done: shards that are full enter the manifest; at the end of the
 *  window the dataset is finished.  Collective. */
RT_MUST rt_err rt_train_capture_end_step(rt_train_capture *tc);
/** All rows so far survive the end of the job.  Before a checkpoint. */
RT_MUST rt_err rt_train_capture_sync(rt_train_capture *tc);

#endif
