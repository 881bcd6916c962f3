/** \file run.h
 *  The loops around a step: training, capture, evaluation, export.
 *  Layer: distill.  The verbs of app are thin callers of these. */
#ifndef RT_RUN_H
#define RT_RUN_H

#include "distill/job/job.h"

/** `retort train`: resume, steps, log, metrics, evaluation, checkpoints, stop
 *  conditions (stop file OUTPUT/stop, hooks->stop_asked, wall limit), end
 * table. RT_ERR_STOPPED: stopped early with a checkpoint, by
 *  the stop file RT_ERR_HALTED.  Collective. */
RT_MUST rt_err rt_run_train(rt_job *job);

/** `retort plan`: the plans and estimates, nothing allocated. */
RT_MUST rt_err rt_run_plan(rt_job *job);

/** `retort capture`: teacher.weights over data.* into capture.dir.  A shard is
 *  computed by one dp group (missing ones in turn); sealed shards of an
 *  interrupted capture are kept.  One that was finished already is not changed,
 *  but for shards that it has lost.  Collective. */
RT_MUST rt_err rt_run_capture(rt_job *job);

/** `retort capture` with capture.count_only: the same teacher over the same
 *  rows, into capture.dir/counts.json and a table of entries by p and k.
 *  Collective. */
RT_MUST rt_err rt_run_count(rt_job *job);

/** `retort eval`: the newest checkpoint of output.dir, else student.weights, on
 *  the held-out part; prints and writes eval.json into output.dir when given.
 */
RT_MUST rt_err rt_run_eval(rt_job *job);

/** `retort export RUN OUT`: the newest checkpoint of a run as a Hugging Face
 *  folder, in f32, published when complete.  Tokenizer files come from the
 * deck's data.tokenizer, else student.weights, else teacher.weights.
 * Collective. */
RT_MUST rt_err rt_run_export(const rt_comm *world, const char *run_folder,
                             const char *out_folder);

#endif
