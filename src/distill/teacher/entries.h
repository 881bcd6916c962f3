/** \file entries.h
 *  Sparse entries of tokens on the host: from a truncating head to the loss and
 *  to the rows of a dataset.  Layer: distill/teacher.  Not collective. */
#ifndef RT_ENTRIES_H
#define RT_ENTRIES_H

#include "io/codec/logits_row.h"

#include <stdbool.h>
#include <stddef.h>

/** Sparse entries of tokens, as a live teacher makes them. */
typedef struct rt_entries {
  void *block;       // owned: all arrays
  int64_t n, k;      /**< tokens, room per token */
  int32_t *count;    /**< [n] */
  int32_t *ids;      /**< [n, k], largest first, ties by id */
  float *logp;       /**< [n, k] log-prob of the full softmax; or of draws:
                          log(how often / N) */
  float *lse;        /**< [n] log-sum-exp of the raw logits */
  float *label_logp; /**< [n] */
  float *entropy;    /**< [n] of the full softmax, nats; NULL: not wanted */
  float *deviation;  /**< [n] standard deviation of the raw logits over V; both
                          or none */
} rt_entries;

/** Room for \a n tokens with \a k entries each. */
RT_MUST rt_err rt_entries_create(int64_t n, int64_t k, bool statistics,
                                 rt_entries *out);
/** Bytes of memory that takes.  Pages that no entry comes to (top-p keeps fewer
 *  than \a k of most tokens) stay untouched. */
size_t rt_entries_bytes(int64_t n, int64_t k, bool statistics);
void rt_entries_clear(rt_entries *e);
/** Tokens whose logits are not finite lose their entries and have 0 for their
 *  numbers: nobody can learn from them. */
void rt_entries_drop_bad(rt_entries *e);
/** Tokens [tok0, tok0 + T) packed into \a row, whose arrays grow: only entries
 *  that were kept.  \param tok, label  [T] */
RT_MUST rt_err rt_entries_row(const rt_entries *e, int64_t tok0,
                              const int32_t *tok, const int32_t *label,
                              int64_t T, rt_logits_row *row);

#endif
