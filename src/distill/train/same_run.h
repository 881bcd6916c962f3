/** \file same_run.h
 *  Checks that a checkpoint belongs to this run.  Layer: distill/train.  All
 *  functions are collective. */
#ifndef RT_SAME_RUN_H
#define RT_SAME_RUN_H

#include "base/model_shape.h"
#include "deck/deck.h"
#include "distill/data/rows.h"
#include "io/run/checkpoint.h"
#include "par/comm.h"

/** What makes a run, as far as its checkpoints know it.  All borrowed. */
typedef struct rt_run_spec {
  const rt_comm *world;
  const rt_deck *deck; /**< stored in checkpoints; output.dir, teacher.* and
                          checkpoint.* are taken from it */
  const char *config;  /**< config.json of the student, stored in checkpoints */
  const rt_arch *arch; /**< its shape */
  const char *tokenizer; /**< hash of the tokenizer; "": none */
  rt_rows rows;          /**< of the training stream */
  int64_t n_rows;        /**< rows of the stream that are used */
  int64_t batch_rows;    /**< rows of a step over all ranks */
  bool loads_teacher;    /**< teacher.weights are read, for targets or
                            evaluations */
} rt_run_spec;

/** What identifies a run, in addition to its deck. */
typedef struct rt_run_id {
  uint64_t rows_xxh3;            /**< hash of a sample of the training stream */
  char teacher[RT_SHA256_HEX];   /**< hash of the teacher; "" without one */
  char tokenizer[RT_SHA256_HEX]; /**< hash of the tokenizer; "none" without */
  char origin[RT_SHA256_HEX];    /**< see rt_run_id_origin; "" if unknown */
} rt_run_id;

/** Identify rows, tokenizer and teacher. */
RT_MUST rt_err rt_run_id_read(const rt_run_spec *run, rt_run_id *id);
/** RT_ERR_CONFIG if deck, training stream, teacher or window of logits differ
 *  from the checkpoint's, unless the deck allows it; RT_ERR_DATA if the
 *  checkpoint contradicts itself. */
RT_MUST rt_err rt_run_id_check(const rt_run_spec *run, const rt_run_id *id,
                               const rt_checkpoint_meta *meta);
/** Set id->origin, which identifies what the run started from, unless the
 *  checkpoint contains it: SHA-256 over the digests of the student's and
 *  teacher's weights and the seal of the dataset; for a run that was not asked
 *  at its start, over the seal of the checkpoint of step \a saved (-1: none)
 *  from which it resumes.  Equal decks and origins give the same model.
 *  Checkpoints store it.
 *  \param known  origin of the dataset that the run has begun, "" if none: kept
 *                if it is the same in the format of earlier versions */
RT_MUST rt_err rt_run_id_origin(const rt_run_spec *run, int64_t saved,
                                const char *known, rt_run_id *id);

#endif
