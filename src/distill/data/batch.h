/** \file batch.h
 *  Rows of tokens and logits as input of a training step.  Layer: distill. */
#ifndef RT_BATCH_H
#define RT_BATCH_H

#include "distill/data/rows.h"

typedef struct rt_batch rt_batch;

/** Called with row \a r of a batch once it is filled, by the thread that fills
 *  it. */
typedef rt_err rt_row_fn(void *self, const rt_batch *b, int64_t r);

/** Host arrays of one micro-batch, N = n_rows * seq. */
struct rt_batch {
  rt_rows from;
  int64_t n_rows, seq;
  void *block;           // owned: memory of the arrays below
  int64_t *row;          /**< [n_rows] index in the training stream */
  int32_t *tok;          /**< [N] */
  int32_t *label;        /**< [N] */
  int32_t *pos;          /**< [N] */
  int32_t *doc_start;    /**< [N], 0 unless data.mask_documents */
  float *weight;         /**< [N] */
  rt_logits_row *logits; /**< [n_rows] with a dataset, else NULL */
  int64_t at_once;       /**< rows of the dataset that are read at once */
  rt_row_fn *on_row;     /**< for rows of the dataset; NULL: none.  at_once rows
                            have     memory for ids and logp, which pass it to the
                            next     ones     when it returns */
  void *on_row_self;     // borrowed
  int slot;              /**< number of this batch among those of a feed */
};

/** Memory in bytes of a batch, without the rows of a dataset. */
size_t rt_batch_bytes(const rt_rows *from, int64_t n_rows);
/** Rows of the dataset that a batch reads at once; 1 without one. */
int64_t rt_batch_at_once(const rt_rows *from, int64_t n_rows);
RT_MUST rt_err rt_batch_create(const rt_rows *from, int64_t n_rows,
                               rt_batch **out);
/** Fill with these \a rows of a part.  \a records [n_rows]: their records of
 *  the dataset, already read; NULL: read them here, too.  No MPI, no HDF5. */
RT_MUST rt_err rt_batch_fill(rt_batch *b, rt_part part, const int64_t *rows,
                             int64_t n_rows, const rt_bytes *records);
void rt_batch_destroy(rt_batch **b);
/** Index in the corpus of row \a r of a batch of RT_TRAIN; for a teacher
 *  captured during its training it is in the record, which must have been read.
 */
int64_t rt_batch_stream_row(const rt_batch *b, int64_t r);

#endif
