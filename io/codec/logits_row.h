/** \file logits_row.h
 *  One row of teacher logits in memory.  Layer: io.  Independent of file
 *  formats. */
#ifndef RT_LOGITS_ROW_H
#define RT_LOGITS_ROW_H

#include "base/err.h"
#include <stdbool.h>
#include <stdint.h>

/** One row.  The arrays are borrowed when written, and owned by the row when
 *  read.  Entries of a token are sorted by descending log-prob, ties by
 *  ascending id. */
typedef struct rt_logits_row {
  uint32_t *tok;   /**< [T + 1] */
  uint32_t *count; /**< [T] number of entries of each token */
  uint32_t *ids;   /**< [n_entries] */
  float *logp;     /**< [n_entries] natural log-prob in the full softmax, or for
                      draws log(count / N) */
  float *lse;      /**< [T] log-sum-exp of the raw logits */
  float *label_logp; /**< [T] log-prob of the corpus token tok[t + 1] */
  float *
      entropy; /**< [T] entropy of the full softmax in nats; NULL: not stored */
  float *deviation; /**< [T] standard deviation of the raw logits over V; NULL:
                       not stored */
  int64_t n_tokens; /**< T */
  int64_t n_entries;
  bool stored;  /**< decoded from a record, so possibly rounded by `packed` */
  int64_t step; /**< training step at which the teacher saw the row */
  int64_t stream_row;  /**< index of the row in the training stream */
  int64_t cap_entries; /**< capacity of ids and logp (read buffers grow) */
  int64_t cap_tokens;  /**< room in the other arrays, less one */
} rt_logits_row;

/** Free the arrays and zero the row. */
void rt_logits_row_clear(rt_logits_row *row);

/** Copy \a from to \a to, whose own arrays grow as needed. */
RT_MUST rt_err rt_logits_row_copy(const rt_logits_row *from, rt_logits_row *to);

/** Ensure capacity for \a n tokens, or entries, keeping the contents.  Only for
 *  rows that own their arrays, or empty ones ({0}). */
RT_MUST rt_err rt_logits_row_tokens(rt_logits_row *row, int64_t n);
RT_MUST rt_err rt_logits_row_entries(rt_logits_row *row, int64_t n);
/** Which of the optional arrays a row has. */
typedef struct rt_logits_optional {
  bool entropy, deviation;
} rt_logits_optional;

/** Allocate those that \a has names for cap_tokens tokens; free the others and
 *  set them to NULL. */
RT_MUST rt_err rt_logits_row_optional(rt_logits_row *row,
                                      rt_logits_optional has);

/** Drop entries of padding ids (those from \a vocab on) and renormalise the
 *  rest to a softmax over \a vocab ids: log-probs and entropy increase
 *  accordingly, and the log-sum-exp decreases.  A token that has only padding
 *  entries is left with none.  The deviation cannot be corrected and must be
 *  left out.  RT_ERR_DATA if a token of the row itself is such an id. */
RT_MUST rt_err rt_logits_row_narrow(rt_logits_row *row, int64_t vocab);

/** Keep tokens [first, first + n) only. */
void rt_logits_row_cut(rt_logits_row *row, int64_t first, int64_t n);

#endif
