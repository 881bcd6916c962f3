/** \file model.h
 *  A decoder-only transformer on a grid: forward and backward of everything
 *  except head and loss.  Layer: model. */
#ifndef RT_MODEL_H
#define RT_MODEL_H

#include "model/head.h"
#include "model/params.h"

/** The input rows of a model.  N = n_rows * seq tokens. */
typedef struct rt_tokens_in {
  rt_view tok;       /**< i32 [N, 1], on the device */
  rt_view pos;       /**< i32 [N, 1] */
  rt_view doc_start; /**< i32 [N, 1] position in the row at which the token's
                        document starts (0: attend to the whole prefix) */
  int64_t n_rows, seq;
} rt_tokens_in;

typedef struct rt_model rt_model;

/** Parameters of a model. */
typedef struct rt_model_spec {
  const rt_arch *arch; // copied
  const rt_grid *grid; // borrowed
  rt_dev *dev;         // borrowed
  rt_types types;
  int64_t max_rows; /**< maximum number of rows of a micro-batch */
  int64_t seq;      /**< T */
  bool train;       /**< with gradients and saved activations */
  bool recompute; /**< training: save only the input of each block, and compute
                     its forward again in backward; the same bits */
} rt_model_spec;

/** Plan a model.  Parameters and activations go into the model's own arenas,
 *  named after \a name.  Nothing is allocated until rt_model_commit.  The
 *  caller destroys the model, also after an error.  Collective over the grid.
 */
RT_MUST rt_err rt_model_create(const char *name, const rt_model_spec *spec,
                               rt_model **out);
/** The plans: [0] parameters and gradients, [1] activations. */
const rt_arena *rt_model_arena(const rt_model *m, int which);
/** Bytes of activations that recomputation saves in training, or would. */
RT_MUST rt_err rt_model_recompute_saves(const rt_model *m, size_t *bytes);
/** Allocate.  Gradients and vocabulary padding are set to 0; weights are
 *  undefined until rt_params_random or a reader sets them.  Collective. */
RT_MUST rt_err rt_model_commit(rt_model *m);
/** Free and set to NULL; NULL is accepted.  Collective over the grid. */
void rt_model_destroy(rt_model **m);

const rt_arch *rt_model_arch(const rt_model *m);
const rt_types *rt_model_types(const rt_model *m);
rt_params *rt_model_params(rt_model *m);

/** Forward.  Waits for the weights of each bucket before it uses them
 *  (rt_params_arrive); when it returns, all have arrived.  \a hidden: the last
 * hidden state after the final norm, [N, D], borrowed until the next forward,
 * replicated over tp.  Collective over tp. */
RT_MUST rt_err rt_model_forward(rt_model *m, const rt_tokens_in *in,
                                rt_view *hidden);

rt_head rt_model_head(const rt_model *m);

/** Backward from d_hidden [N, D], this rank's partial sum over its vocabulary
 *  shard, which the model sums over tp.  Gradients are accumulated.  \a done
 *  (may be NULL) is called after each bucket, once its gradients are complete,
 * in the order last block first; the bucket of a tied head and embedding comes
 * last.  d_hidden is overwritten.  Collective over tp. */
RT_MUST rt_err rt_model_backward(rt_model *m, const rt_tokens_in *in,
                                 rt_view d_hidden, rt_bucket_fn *done,
                                 void *self);

/** A buffer [max N, D] that the objective may use for d_hidden.  It is free
 *  from the end of forward until backward. */
rt_view rt_model_d_hidden(rt_model *m);

#endif
