/** \file entries.h
 *  Sparse entries of tokens on the host: output of the truncating head, for
 *  rows of datasets.  Layer: distill/teacher.  Not collective.
 */
#ifndef RT_ENTRIES_H
#define RT_ENTRIES_H

#include "io/codec/logits_row.h"

#include <stdbool.h>
#include <stddef.h>

/** Sparse entries of tokens, as computed by a live teacher. */
typedef struct rt_entries {
  void *block;    // owned: all arrays
  int64_t n, k;   /**< tokens, capacity per token */
  int32_t *count; /**< [n] */
  int32_t *ids;   /**< [n, k], in descending order of log-prob, ties by id; -1
                     behind the last */
  float *logp; /**< [n, k] log-prob in the full softmax; for draws log(times /
                  N) */
  float *lse;  /**< [n] log-sum-exp of the raw logits */
  float *label_logp; /**< [n] */
  float *entropy;    /**< [n] entropy of the full softmax in nats; NULL: not
                        computed */
  float *deviation;  /**< [n] standard deviation of the raw logits over V; NULL:
                        not computed */
} rt_entries;

/** Capacity of entries. */
typedef struct rt_entries_spec {
  int64_t n, k;    /**< tokens, entries per token */
  bool statistics; /**< with entropy and deviation */
} rt_entries_spec;

/** Allocate. */
RT_MUST rt_err rt_entries_create(const rt_entries_spec *spec, rt_entries *out);
/** Memory in bytes of the above. */
size_t rt_entries_bytes(const rt_entries_spec *spec);
void rt_entries_clear(rt_entries *e);
/** Remove the entries of tokens whose logits are not finite, and set their
 *  numbers to 0: they are useless as targets. */
void rt_entries_drop_bad(rt_entries *e);
/** Copy tokens [tok0, tok0 + T) to \a row, whose arrays grow; only entries that
 *  were kept.
 *  \param tok, label  [T] */
RT_MUST rt_err rt_entries_row(const rt_entries *e, int64_t tok0,
                              const int32_t *tok, const int32_t *label,
                              int64_t T, rt_logits_row *row);

#endif
