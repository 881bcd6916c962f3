/** \file adamw.h
 *  AdamW with states sharded over dp by rows of each local tile.
 *  Layer: optim. */
#ifndef RT_ADAMW_H
#define RT_ADAMW_H

#include "model/params.h"

typedef struct rt_adamw_spec {
  double beta1, beta2, eps, weight_decay;
  bool decay_all; /**< also norms and biases */
} rt_adamw_spec;

/** One tensor's shard on this rank: rows [row0, row0 + n) of its local tile. */
typedef struct rt_adamw_shard {
  int64_t row0, n;
  rt_view m, v; /**< real [n, n_cols] */
} rt_adamw_shard;

typedef struct rt_adamw rt_adamw;

/** Plan the states.  Vectors ([1, n]) are sharded whole: dp rank
 *  (tensor index % dp) owns them. */
RT_MUST rt_err rt_adamw_create(rt_params *params, rt_dev *dev,
                               const rt_adamw_spec *spec, rt_adamw **out);
const rt_arena *rt_adamw_arena(const rt_adamw *opt);
RT_MUST rt_err rt_adamw_commit(rt_adamw *opt);
void rt_adamw_destroy(rt_adamw **opt);

/** Shard of tensor \a i (for checkpoints). */
rt_adamw_shard *rt_adamw_shard_of(rt_adamw *opt, int i);

/** Global 2-norm of all gradients (after gradsync); each element of the model
 *  counts once, whatever the layout.  NaN and Inf come out as such on all ranks
 *  alike.  Collective over the grid. */
RT_MUST rt_err rt_adamw_grad_norm(rt_adamw *opt, double *norm);

/** Update with rate \a lr, gradients times \a grad_scale; \a t counts updates
 *  from 1.  Then parameters are gathered over dp.  Collective. */
RT_MUST rt_err rt_adamw_update(rt_adamw *opt, int64_t t, double lr,
                               double grad_scale);

#endif
