/** \file run.h
 *  The loops around a step: training, capture, evaluation, export.
 *  Layer: distill.  The verbs of app are thin callers of these. */
#ifndef RT_RUN_H
#define RT_RUN_H

#include "base/file.h"
#include "distill/eval/evaluate.h"

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

/** Where a run's checkpoints lie: RUN_FOLDER/checkpoints.  Not collective. */
RT_MUST rt_err rt_state_folder(char out[RT_PATH_MAX], const char *run_folder);

/** Student state to and from checkpoints (train, eval).  A restart on the same
 *  layout (ranks, tp, micro-rows) is bit-identical; any other continues with
 *  the same rows, equal to rounding. All are collective. */
RT_MUST rt_err rt_state_save(rt_trainer *trainer, int64_t step);
/** *step = -1 when there is none.  Refused for a deck, or a training stream
 *  (hashed here and there, for rt_state_save too), that is not the same. */
RT_MUST rt_err rt_state_resume(rt_trainer *trainer, int64_t *step);
/** Fill in what the run began from, beyond its deck, unless its checkpoint said
 *  so: SHA-256 over the hashes of the student's and the teacher's weights and
 *  of the dataset, or, of a run that was not asked at its beginning, over the
 *  seal of the checkpoint of step \a saved that it goes on from.  Equal decks
 *  and origins: one model.  Checkpoints keep it.  Collective. */
RT_MUST rt_err rt_state_origin(rt_trainer *trainer, int64_t saved);
/** May a run with this deck go on with what was made by the deck \a text?
 *  RT_ERR_CONFIG names the keys that differ and matter, and may not
 *  (checkpoint.allow_change).  \param of  whose it is, for the message
 *  \param folder  the key of another place.  Not collective. */
RT_MUST rt_err rt_state_same_deck(const rt_job *job, const char *text,
                                  const char *of, rt_key folder);
/** Weights only, into a committed model; *step = -1: there are none. */
RT_MUST rt_err rt_state_load_weights(const rt_job *job, rt_model *model,
                                     const char *run_folder, int64_t *step);

#endif
