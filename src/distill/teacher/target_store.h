/** \file target_store.h
 *  Sparse targets of micro-batches, computed from entries of any origin, so
 * that live and stored teachers give the same bits.  One micro-batch is on the
 *  device; the host has room for those that are made ahead.  Layer: distill. */
#ifndef RT_TARGET_STORE_H
#define RT_TARGET_STORE_H

#include "distill/teacher/teacher.h"

typedef struct rt_target_store {
  rt_dev *dev;     // borrowed
  rt_arena *arena; // owned
  int n_slots;     /**< micro-batches on the host */
  int64_t n, k;    /**< tokens of one, capacity per token */
  double tau;
  rt_dtype type;         /**< of t */
  rt_view count, ids, t; /**< device: i32 [n, 1], i32 [n, k], \a type [n, k] */
  void *host;            // owned: the arrays below, slot by slot
  int32_t *h_count;      // [n_slots * n]
  int32_t *h_ids;        // [n_slots * n, k]
  void *h_t;             // type [n_slots * n, k]
  double *row;           // [k], used by the thread that sets entries
  double *entropy;       // [n_slots * n]
  float *label_logp;     // [n_slots * n]
} rt_target_store;

/** Set in \a s: n_slots, n, k, tau and type. */
RT_MUST rt_err rt_target_store_init(rt_target_store *s, rt_dev *dev);
/** Memory in bytes on the host, in addition to the arena. */
size_t rt_target_store_host_bytes(const rt_target_store *s);
RT_MUST rt_err rt_target_store_commit(rt_target_store *s);
void rt_target_store_clear(rt_target_store *s);

/** Set the entries of token \a i, counted over all slots: \a count ids with
 *  log-probs, in descending order. */
void rt_target_store_set(rt_target_store *s, int64_t i, int64_t count,
                         const int32_t *ids, const float *logp,
                         float label_logp);
/** Copy all targets of a slot to the device. */
RT_MUST rt_err rt_target_store_send(rt_target_store *s, int slot);
/** Views of tokens [tok0, tok0 + n) of the slot that was sent. */
rt_targets rt_target_store_view(const rt_target_store *s, int slot,
                                int64_t tok0, int64_t n);

#endif
