/** \file objective.h
 *  L = (1 - alpha) L_lm + alpha L_kd (arXiv 2410.16215, Eq. 1-4), fused with
 *  the output head and computed one chunk of tokens at a time; logits of the
 *  whole batch are never in memory.  Layer: distill. */
#ifndef RT_OBJECTIVE_H
#define RT_OBJECTIVE_H

#include "distill/teacher/teacher.h"
#include "model/model.h"

typedef struct rt_objective rt_objective;

/** Parameters of an objective.  A chunk takes at most chunk_bytes for
 *  everything that the objective stores (one tile, or two with a dense teacher,
 *  and a few numbers per token), and has at least one token. */
typedef struct rt_objective_spec {
  rt_dev *dev;         // borrowed
  const rt_grid *grid; // borrowed
  rt_types types;      /**< of the student */
  double chunk_bytes;
  int64_t max_tokens;  /**< N of a micro-batch */
  int64_t vocab_local; /**< columns per tile */
  bool dense;          /**< with a second tile for the teacher */
  bool kld;            /**< report KL instead of soft cross-entropy */
  double tau;          /**< dense teacher's temperature */
} rt_objective_spec;
RT_MUST rt_err rt_objective_create(const rt_objective_spec *spec,
                                   rt_objective **out);
const rt_arena *rt_objective_arena(const rt_objective *o);
/** Memory in bytes on the host, in addition to the arena. */
size_t rt_objective_host_bytes(const rt_objective *o);
/** Memory in bytes: the arena and the arrays on the host. */
size_t rt_objective_bytes(const rt_objective *o);
RT_MUST rt_err rt_objective_commit(rt_objective *o);
void rt_objective_destroy(rt_objective **o);

/** Called with each logit tile [n, V_pad / tp] of tokens [tok0, tok0 + n) of \a
 *  b, before it is overwritten by gradients. */
typedef rt_err rt_tile_fn(void *self, rt_view tile, const rt_batch *b,
                          int64_t tok0);
/** From now on, call \a fn (NULL: none) for every tile. */
void rt_objective_show(rt_objective *o, rt_tile_fn *fn, void *self);

/** The inputs of the objective for a micro-batch.  All borrowed. */
typedef struct rt_objective_in {
  const rt_head *head; /**< its gradient is accumulated */
  rt_view hidden;      /**< [N, D] */
  rt_view d_hidden;    /**< [N, D] output: this rank's partial sum over its
                          vocabulary shard */
  const rt_batch *b;
  double alpha;        /**< ignored (0) without a teacher */
  double weight_total; /**< total over the whole step */
} rt_objective_in;
/** Set the sums of the loss to 0, in the device's queue. */
void rt_objective_clear(rt_objective *o);
/** Add the losses of a micro-batch to the sums, and compute its gradients.
 *  In the device's queue.  \a teacher may be NULL.  Collective over tp. */
RT_MUST rt_err rt_objective_run(rt_objective *o, rt_teacher *teacher,
                                const rt_objective_in *in);
/** The sums since the last clear on the device: f64 [1, K_N_LOSS], a k_loss. */
rt_view rt_objective_sums(const rt_objective *o);
/** The sums since the last clear, of this rank's rows: each token multiplied
 *  by its weight over the total.  Waits. */
RT_MUST rt_err rt_objective_loss(const rt_objective *o, k_loss *loss);

#endif
