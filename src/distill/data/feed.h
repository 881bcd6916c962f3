/** \file feed.h
 *  Micro-batches in order, read ahead by a thread.  Layer: distill.
 *
 *  Micro-step m of dp rank i holds rows
 *  step * B + i * (B / dp) + j * micro_rows + r, step = m / n_micro,
 *  j = m % n_micro, of the consumption order (rt_corpus_order).
 *
 *  The tp ranks of a group need the same rows.  Of a dataset they take turns:
 *  rank m % tp reads the records of micro-step m and sends them to the others,
 *  so that storage is asked once for each; every rank checks and decodes. */
#ifndef RT_FEED_H
#define RT_FEED_H

#include "distill/data/batch.h"
#include "par/comm.h"

typedef struct rt_feed rt_feed;

/** Which rows, in which order.  All borrowed. */
typedef struct rt_feed_spec {
  rt_rows rows;
  const rt_comm *group;  /**< ranks that need the same rows (tp) */
  uint64_t seed;         /**< of the order of rows */
  int64_t n_rows;        /**< of the training stream that are used */
  int64_t batch_rows;    /**< B, of one step over all ranks */
  int64_t rows_per_rank; /**< B / dp */
  int64_t micro_rows;    /**< divides rows_per_rank */
  int i_dp;
  int64_t first_step, n_steps; /**< where to start; the length of the run */
} rt_feed_spec;

/** Start reading at spec->first_step. */
RT_MUST rt_err rt_feed_create(const rt_feed_spec *spec, rt_feed **out);
void rt_feed_destroy(rt_feed **feed);
/** The next micro-batch, borrowed until the next call.  Waits for the reader;
 *  its error (a damaged row) comes out here.  Collective over the tp group. */
RT_MUST rt_err rt_feed_next(rt_feed *feed, const rt_batch **out);
/** Bytes of memory that the feed's rows take, about. */
double rt_feed_memory(const rt_feed_spec *spec);

#endif
