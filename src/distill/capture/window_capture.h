/** \file window_capture.h
 *  Saves the logits of a model being trained, from its own forward passes over
 *  a window of steps ("online logits" of arXiv 2410.16215).  Layer: distill.
 *
 *  The rows of a step are divided among *lanes*, one or more per dp group.
 *  Each lane fills its own shards, so no rank waits for another.  Rows of
 *  unfinished shards are also written to a log (io/logits/logits_log.h), which
 *  a restarted run reads, so the dataset is the same with and without a
 *  restart. */
#ifndef RT_WINDOW_CAPTURE_H
#define RT_WINDOW_CAPTURE_H

#include "deck/deck.h"
#include "distill/capture/window.h"
#include "distill/loss/objective.h"

typedef struct rt_window_capture rt_window_capture;

/** What is captured, and into which dataset.  All borrowed. */
typedef struct rt_window_capture_spec {
  const rt_comm *world;
  const rt_grid *grid; /**< of the model */
  rt_dev *dev;
  const rt_corpus *corpus; /**< whose hash identifies it in the dataset */
  const rt_deck *deck;     /**< of the run: stored with the dataset; an existing
                              dataset must be of the same run */
  const char *folder;      /**< of the dataset */
  rt_logits_info info; /**< of the dataset; `teacher` is the name of the run,
                          rows, shards and hashes are left open */
  rt_window window;    /**< steps, before rounding; none: no capture */
  int64_t n_steps;     /**< of the run */
  int64_t batch_rows;  /**< of a step over all ranks */
  int64_t micro_rows;  /**< of a micro-batch */
  double chunk_bytes;  /**< size of a logit tile */
  double silence_s;    /**< a lock of that age is left over */
  rt_phases *phases;   /**< where its time is counted */
  void (*beat)(int64_t step, const char *phase); /**< called for each shard */
} rt_window_capture_spec;

/** Plan the capture; *out is NULL if the window has no steps.  \a model and \a
 *  objective (borrowed) provide the tiles.  Collective. */
RT_MUST rt_err rt_window_capture_create(const rt_window_capture_spec *spec,
                                        rt_model *model,
                                        rt_objective *objective,
                                        rt_window_capture **out);
/** Plan of its memory; NULL without a capture. */
const rt_arena *rt_window_capture_arena(const rt_window_capture *tc);
/** Memory in bytes on the host, in addition to this plan: of entries, and of
 * the writer of a shard on the ranks that write (for one lane; a resumed run
 * with fewer groups has more lanes per group). */
double rt_window_capture_entries(const rt_window_capture *tc);
double rt_window_capture_writer(const rt_window_capture *tc);
RT_MUST rt_err rt_window_capture_commit(rt_window_capture *tc);
void rt_window_capture_destroy(rt_window_capture **tc);

/** The origin of the run that has begun the dataset in capture.dir, "" if there
 *  is none.  Collective. */
RT_MUST rt_err rt_window_capture_origin(const rt_window_capture *tc,
                                        char hex[RT_SHA256_HEX]);
/** Create the dataset, or continue that of an earlier run, whose rows from
 *  steps before \a step must exist.  \a origin: what the run started from
 *  (rt_run_id_origin); RT_ERR_LOCKED if the dataset has another one.
 *  Collective.  This and all functions below accept NULL. */
RT_MUST rt_err rt_window_capture_begin(rt_window_capture *tc, int64_t step,
                                       const char *origin);
/** Capture the tiles of the micro-steps of step \a step, if it is in the
 *  window. */
void rt_window_capture_look(rt_window_capture *tc, int64_t step);
/** The micro-batch is complete: add its rows to their lanes. */
RT_MUST rt_err rt_window_capture_take(rt_window_capture *tc, const rt_batch *b);
/** The step is complete: add full shards to the manifest; at the end of the
 *  window, finish the dataset.  Collective. */
RT_MUST rt_err rt_window_capture_end_step(rt_window_capture *tc);
/** Make all rows so far durable.  Call before a checkpoint. */
RT_MUST rt_err rt_window_capture_sync(rt_window_capture *tc);

#endif
