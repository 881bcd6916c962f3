/** \file batch.h
 *  Micro-batches in order, read ahead by a thread.  Layer: distill.
 *
 *  Micro-step m of dp rank i holds rows
 *  step * B + i * (B / dp) + j * micro_rows + r, step = m / n_micro,
 *  j = m % n_micro, of the consumption order (rt_corpus_order). */
#ifndef RT_BATCH_H
#define RT_BATCH_H

#include "distill/job.h"

/** Host arrays of one micro-batch, N = n_rows * seq. */
typedef struct rt_batch {
  int64_t n_rows, seq;
  int64_t *row;          /**< [n_rows] row of the training stream */
  int32_t *tok;          /**< [N] */
  int32_t *label;        /**< [N] */
  int32_t *pos;          /**< [N] */
  int32_t *doc_start;    /**< [N], 0 unless data.mask_documents */
  float *weight;         /**< [N] */
  rt_logits_row *logits; /**< [n_rows] with a dataset, else NULL */
} rt_batch;

typedef struct rt_feed rt_feed;

/** Start reading at \a step. */
RT_MUST rt_err rt_feed_create(const rt_job *job, int64_t step, rt_feed **out);
void rt_feed_destroy(rt_feed **feed);
/** The next micro-batch, borrowed until the next call.  Waits for the reader;
 *  its error (a damaged row) comes out here. */
RT_MUST rt_err rt_feed_next(rt_feed *feed, const rt_batch **out);

/** Allocate a batch and fill it from given rows of a part, without a thread
 *  (evaluation, capture). */
RT_MUST rt_err rt_batch_create(const rt_job *job, int64_t n_rows,
                               rt_batch **out);
RT_MUST rt_err rt_batch_fill(rt_batch *b, const rt_job *job, rt_part part,
                             const int64_t *rows, int64_t n_rows);
void rt_batch_destroy(rt_batch **b);
/** Row \a r of a batch of RT_TRAIN as the corpus counts it; of a teacher in
 *  training the record says, which was read before. */
int64_t rt_batch_stream_row(const rt_batch *b, const rt_job *job, int64_t r);

#endif
