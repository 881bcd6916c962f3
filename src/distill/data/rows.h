/** \file rows.h
 *  Where the rows of a batch come from: a corpus, a dataset of logits, or both.
 *  Layer: distill/data.  Plain data, not collective. */
#ifndef RT_ROWS_H
#define RT_ROWS_H

#include "io/corpus/corpus.h"
#include "io/logits/logits.h"

/** All borrowed. */
typedef struct rt_rows {
  int64_t seq;              /**< T */
  const rt_corpus *corpus;  /**< NULL: none */
  const rt_logits *dataset; /**< of rows of RT_TRAIN; NULL: none */
  const char *folder;       /**< of the dataset, for messages */
  bool mask_documents;      /**< positions and attention begin anew in each */
  int64_t first_row; /**< of the training stream, where rows count from */
  int64_t pieces;    /**< rows made of one of the dataset; 0: taken whole */
  int64_t vocab_cut; /**< ids from here on are padding of the dataset; 0: none
                          are */
} rt_rows;

/** The row of the dataset that row \a row of RT_TRAIN is, or is a piece of. */
int64_t rt_rows_in_dataset(const rt_rows *rows, int64_t row);

#endif
