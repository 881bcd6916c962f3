/** \file run.h
 *  The main loops of the verbs: training, capture, evaluation, export.  Layer:
 *  distill.  The verbs in app are thin callers of these. */
#ifndef RT_RUN_H
#define RT_RUN_H

#include "distill/job/job.h"

/** `retort train`: resume, steps, log, metrics, evaluation, checkpoints, stop
 *  conditions (stop file OUTPUT/stop, hooks->stop_asked, wall limit), final
 *  table.  RT_ERR_STOPPED: stopped early with a checkpoint; RT_ERR_HALTED: by
 *  the stop file.  Collective. */
RT_MUST rt_err rt_run_train(rt_job *job);

/** `retort plan`: print plans and estimates; nothing is allocated. */
RT_MUST rt_err rt_run_plan(rt_job *job);

/** `retort capture`: run teacher.weights over data.* and write capture.dir.  A
 *  shard is computed by one dp group (missing ones are assigned in turn);
 *  sealed shards of an interrupted capture are kept.  A finished one is not
 *  changed, except that lost shards are recreated.  Collective. */
RT_MUST rt_err rt_run_capture(rt_job *job);

/** `retort capture` with capture.count_only: the same teacher over the same
 *  rows, with output to capture.dir/counts.json and a table of entries by p and
 *  k.  Collective. */
RT_MUST rt_err rt_run_count(rt_job *job);

/** `retort eval`: evaluate the newest checkpoint of output.dir, or else
 *  student.weights, on the held-out part; print the results, and write
 *  eval.json to output.dir if set.  Collective. */
RT_MUST rt_err rt_run_eval(rt_job *job);

/** `retort export RUN OUT`: write the newest checkpoint of a run as a Hugging
 *  Face folder, in f32, renamed when complete.  Tokenizer files come from the
 *  deck's data.tokenizer, else student.weights, else teacher.weights.
 *  Collective. */
RT_MUST rt_err rt_run_export(const rt_comm *world, const char *run_folder,
                             const char *out_folder);

#endif
