/** \file trunc_head.h
 *  Computes sparse entries of rows of tokens: a model's forward, its head, then
 *  the most probable entries or random draws.  Layer: distill/teacher. */
#ifndef RT_TRUNC_HEAD_H
#define RT_TRUNC_HEAD_H

#include "distill/teacher/entries.h"
#include "distill/teacher/draws.h"
#include "distill/teacher/targets.h"
#include "kernels/truncate.h"
#include "model/model.h"

/** A model and its truncating head, exact over the vocabulary shards of its
 *  grid.  It runs row by row, so that the entries of a row are a function of
 *  the row, the weights, T, tp and chunk_bytes, not of other rows: BLAS may
 *  round a token differently depending on its position in a batch. */
typedef struct rt_trunc_head rt_trunc_head;
/** The function that is called. */
typedef enum rt_trunc_use {
  RT_TRUNC_RUN,  /**< rt_trunc_head_run */
  RT_TRUNC_TAKE, /**< rt_trunc_head_take: no forward, no tile of its own */
  RT_TRUNC_QUEUE /**< rt_trunc_head_queue: nothing goes to the host */
} rt_trunc_use;
typedef struct rt_trunc_spec {
  rt_model *model;     // borrowed; holds one row of seq tokens
  const rt_grid *grid; // borrowed
  rt_dev *dev;         // borrowed
  rt_truncation rule;
  rt_draws draws;
  double chunk_bytes; /**< size of its logit tile */
  int64_t seq;        /**< T */
  rt_trunc_use use;
} rt_trunc_spec;
RT_MUST rt_err rt_trunc_head_create(const rt_trunc_spec *spec,
                                    rt_trunc_head **out);
const rt_arena *rt_trunc_head_arena(const rt_trunc_head *th);
/** Memory in bytes on the host, in addition to the arenas. */
size_t rt_trunc_head_host_bytes(const rt_trunc_head *th);
RT_MUST rt_err rt_trunc_head_commit(rt_trunc_head *th);
void rt_trunc_head_destroy(rt_trunc_head **th);
/** Run the forward of \a rows and write their entries to the caller's arrays (k
 *  is the rule's top_k, at most V).  The result is the same on every rank of
 *  the tp group.  Collective over tp. */
RT_MUST rt_err rt_trunc_head_run(rt_trunc_head *th, const rt_host_rows *rows,
                                 rt_entries *out);
/** Entries of tokens on the device: i32 [n, 1], i32 [n, k], f32 [n, k]. */
typedef struct rt_entry_views {
  rt_view count, ids, logp;
} rt_entry_views;
/** The same into memory of the device, in its queue: waits for nothing. */
RT_MUST rt_err rt_trunc_head_queue(rt_trunc_head *th, const rt_host_rows *rows,
                                   const rt_entry_views *out);
/** The same from existing logits: \a tile [n, V_pad / tp] of tokens [tok0, tok0
 *  + n) of \a rows.  Collective over tp. */
RT_MUST rt_err rt_trunc_head_take(rt_trunc_head *th, rt_view tile,
                                  const rt_host_rows *rows, int64_t tok0,
                                  rt_entries *out);

#endif
