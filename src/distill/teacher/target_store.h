/** \file target_store.h
 *  Sparse targets of micro-batches, computed from entries of any origin, so
 *  that live and stored teachers give the same bits.  One micro-batch is on the
 *  device.  Its targets are made there from a live teacher's entries, or ahead
 *  on the host, which has room for some micro-batches.  Layer: distill. */
#ifndef RT_TARGET_STORE_H
#define RT_TARGET_STORE_H

#include "distill/teacher/teacher.h"

typedef struct rt_target_store {
  rt_dev *dev;     // borrowed
  rt_arena *arena; // owned
  int n_slots;     /**< micro-batches on the host; 0: targets are made on the
                      device */
  int64_t n, k;    /**< tokens of one, capacity per token */
  bool in_place;   /**< the device reads the host's arrays */
  double tau;
  rt_dtype type;         /**< of t */
  rt_view count, ids, t; /**< device: i32 [n, 1], i32 [n, k], \a type [n, k] */
  rt_view entropy;       /**< device: f64 [n, 1] */
  void *host;            // owned: the arrays below, slot by slot
  int32_t *h_count;      // [n_slots * n]
  int32_t *h_ids;        // [n_slots * n, k]
  void *h_t;             // type [n_slots * n, k]
  double *h_entropy;     // [n_slots * n]
  double *row;           // [k], used by the thread that sets entries
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
                         const int32_t *ids, const float *logp);
/** Give the device all targets of a slot. */
RT_MUST rt_err rt_target_store_send(rt_target_store *s, int slot);
/** Make the targets of tokens from \a tok0 on from the log-probs f32 [n, k] of
 *  their entries, whose count and ids are in their place already.  In the
 *  device's queue. */
void rt_target_store_form(rt_target_store *s, int64_t tok0, rt_view logp);
/** Views of tokens [tok0, tok0 + n) on the device. */
rt_targets rt_target_store_view(const rt_target_store *s, int64_t tok0,
                                int64_t n);

#endif
