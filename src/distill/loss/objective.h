/** \file objective.h
 *  L = (1 - alpha) L_lm + alpha L_kd, fused with the head, chunk of tokens by
 *  chunk of tokens; logits of the whole batch never exist.  Layer: distill.
 *  Paper 1 (arXiv 2410.16215), Eq. 1-4. */
#ifndef RT_OBJECTIVE_H
#define RT_OBJECTIVE_H

#include "distill/teacher/teacher.h"

/** Sums over tokens, each already times weight / total weight. */
typedef struct rt_loss {
  double lm;      /**< cross-entropy with the text */
  double kd;      /**< KL(t || q), or soft cross-entropy for loss.kind nll */
  double entries; /**< teacher entries per token */
} rt_loss;

typedef struct rt_objective rt_objective;

/** Chunks of at most chunk_bytes for all that the objective keeps: tiles (one,
 *  or two with a dense teacher) and a few numbers a token; a chunk has at least
 *  one token.  \a real of the device. */
typedef struct rt_objective_spec {
  rt_dev *dev;         // borrowed
  const rt_grid *grid; // borrowed
  double chunk_bytes;
  int64_t max_tokens;  /**< N of a micro-batch */
  int64_t vocab_local; /**< columns of a tile */
  bool dense;          /**< a second tile for the teacher */
  bool kld;            /**< report KL instead of soft cross-entropy */
  double tau;          /**< dense teacher's temperature */
} rt_objective_spec;
RT_MUST rt_err rt_objective_create(const rt_objective_spec *spec,
                                   rt_objective **out);
const rt_arena *rt_objective_arena(const rt_objective *o);
/** Bytes of all that it keeps: the arena and numbers on the host. */
/** Bytes on the host, which are in no arena. */
size_t rt_objective_host_bytes(const rt_objective *o);
size_t rt_objective_bytes(const rt_objective *o);
RT_MUST rt_err rt_objective_commit(rt_objective *o);
void rt_objective_destroy(rt_objective **o);

/** Called with each tile of the model's logits, [n, V_pad / tp] of tokens
 *  [tok0, tok0 + n) of \a b, before they turn into gradients. */
typedef rt_err rt_tile_fn(void *self, rt_view tile, const rt_batch *b,
                          int64_t tok0);
/** Show every tile to \a fn (NULL: to none) from now on. */
void rt_objective_show(rt_objective *o, rt_tile_fn *fn, void *self);

/** A micro-batch as the objective takes it.  All borrowed. */
typedef struct rt_objective_in {
  const rt_head *head; /**< its gradient is added to */
  rt_view hidden;      /**< [N, D] */
  rt_view d_hidden;    /**< [N, D] written: this rank's partial sum over its
                            vocabulary */
  const rt_batch *b;
  double alpha;        /**< without a teacher 0, whatever it says */
  double weight_total; /**< over the whole step */
} rt_objective_in;
/** \a teacher may be NULL.  \a loss is added to.  Collective over tp. */
RT_MUST rt_err rt_objective_run(rt_objective *o, rt_teacher *teacher,
                                const rt_objective_in *in, rt_loss *loss);

#endif
