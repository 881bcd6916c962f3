/** \file logits_row.h
 *  One row of teacher logits in memory.  Layer: io.  Knows no file format. */
#ifndef RT_LOGITS_BUFFER_H
#define RT_LOGITS_BUFFER_H

#include "base/err.h"
#include <stdbool.h>
#include <stdint.h>

/** One row.  All arrays borrowed when written, owned by the buffer when read.
 *  Entries of a token are sorted by log-prob, falling; ties by id, rising. */
typedef struct rt_logits_row {
  uint32_t *tok;     /**< [T + 1] */
  uint32_t *count;   /**< [T] entries of each token */
  uint32_t *ids;     /**< [n_entries] */
  float *logp;       /**< [n_entries] natural log-prob of the full softmax, or
                          of draws: log(count / N) */
  float *lse;        /**< [T] log-sum-exp of the raw logits */
  float *label_logp; /**< [T] log-prob of the corpus token tok[t + 1] */
  float *entropy;    /**< [T] of the full softmax, nats; NULL: not kept */
  float *deviation;  /**< [T] standard deviation of the raw logits over V; NULL:
                          not kept */
  int64_t n_tokens;  /**< T */
  int64_t n_entries;
  bool stored;        /**< decoded from a record: perhaps rounded by `packed` */
  int64_t step;       /**< of the teacher in training that saw the row */
  int64_t stream_row; /**< and which row of the training stream it is */
  int64_t cap_entries; /**< room in ids and logp (read buffers grow) */
  int64_t cap_tokens;  /**< room in the other arrays, less one */
} rt_logits_row;

/** Free the arrays and zero the row. */
void rt_logits_row_clear(rt_logits_row *row);

/** A copy of \a from in \a to's own arrays, which grow as needed. */
RT_MUST rt_err rt_logits_row_copy(const rt_logits_row *from, rt_logits_row *to);

/** Room for so many tokens, and entries; what is there is kept.  Only for rows
 *  that own their arrays, or empty ones ({0}). */
RT_MUST rt_err rt_logits_row_tokens(rt_logits_row *row, int64_t n);
RT_MUST rt_err rt_logits_row_entries(rt_logits_row *row, int64_t n);
/** Room for `entropy` and `deviation` of cap_tokens tokens, or none: what is
 * not asked for is freed and NULL. */
RT_MUST rt_err rt_logits_row_optional(rt_logits_row *row, bool entropy,
                                      bool deviation);

/** Ids from \a vocab on are padding: without their entries, and with what is
 *  left as a softmax over \a vocab ids would give it: log-probs and entropy
 * rise by what the dropped entries had, the log-sum-exp falls.  Of a token with
 *  nothing else no entry stays.  The deviation cannot follow: leave it out.
 *  RT_ERR_DATA when the row itself has such an id. */
RT_MUST rt_err rt_logits_row_narrow(rt_logits_row *row, int64_t vocab);

/** Keep tokens [first, first + n) only. */
void rt_logits_row_cut(rt_logits_row *row, int64_t first, int64_t n);

#endif
