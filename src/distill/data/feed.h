/** \file feed.h
 *  Micro-batches in order, read ahead by a thread.  Layer: distill.
 *
 *  Micro-step m of dp rank i contains rows step * B + i * (B / dp) + j *
 *  micro_rows + r, with step = m / n_micro and j = m % n_micro, of the
 *  consumption order (rt_corpus_order).
 *
 *  The tp ranks of a group need the same rows.  They take turns reading a
 *  dataset: rank m % tp reads the records of micro-step m and sends them to the
 *  others, so that each record is read from storage once; every rank checks and
 *  decodes them. */
#ifndef RT_FEED_H
#define RT_FEED_H

#include "distill/data/batch.h"
#include "par/comm.h"

/** Batches that exist at the same time: one in use, two ahead. */
enum { RT_FEED_SLOTS = 3 };

typedef struct rt_feed rt_feed;

/** Rows and their order.  All borrowed. */
typedef struct rt_feed_spec {
  rt_rows rows;
  const rt_comm *group;  /**< ranks that need the same rows (tp) */
  uint64_t seed;         /**< seed of the order of rows */
  int64_t n_rows;        /**< rows of the training stream that are used */
  int64_t batch_rows;    /**< B, rows per step over all ranks */
  int64_t rows_per_rank; /**< B / dp */
  int64_t micro_rows;    /**< divides rows_per_rank */
  int i_dp;
  rt_row_fn *on_row; /**< called by the feed thread, see rt_batch; or NULL */
  void *on_row_self;
  int64_t first_step,
      n_steps; /**< first step of this start; length of the run */
} rt_feed_spec;

/** Start reading at spec->first_step. */
RT_MUST rt_err rt_feed_create(const rt_feed_spec *spec, rt_feed **out);
void rt_feed_destroy(rt_feed **feed);
/** Get the next micro-batch, borrowed until the next call.  Waits for the feed
 *  thread, whose errors (a damaged row) are returned here.  Collective over the
 *  tp group. */
RT_MUST rt_err rt_feed_next(rt_feed *feed, const rt_batch **out);
/** Approximate memory in bytes of the feed's rows. */
double rt_feed_memory(const rt_feed_spec *spec);

#endif
