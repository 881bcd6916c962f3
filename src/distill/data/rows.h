/** \file rows.h
 *  The source of the rows of a batch: a corpus, a dataset of logits, or both.
 *  Layer: distill/data.  Plain data, not collective. */
#ifndef RT_ROWS_H
#define RT_ROWS_H

#include "io/corpus/corpus.h"
#include "io/logits/logits.h"

/** All borrowed. */
typedef struct rt_rows {
  int64_t seq;              /**< T */
  const rt_corpus *corpus;  /**< NULL: none */
  const rt_logits *dataset; /**< for rows of RT_TRAIN; NULL: none */
  const char *folder;       /**< of the dataset, for messages */
  bool mask_documents; /**< positions and attention restart at each document */
  int64_t first_row;   /**< first row in the training stream */
  int64_t pieces; /**< rows obtained from each row of the dataset; 0: rows are
                     used whole */
  int64_t vocab_cut; /**< ids from here on are padding; 0: none */
} rt_rows;

/** The row of the dataset that corresponds to row \a row of RT_TRAIN, or
 *  contains it. */
int64_t rt_rows_in_dataset(const rt_rows *rows, int64_t row);

#endif
