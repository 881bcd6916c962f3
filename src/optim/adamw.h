/** \file adamw.h
 *  AdamW with optimizer states sharded over dp, by rows of each local tile.
 *  Layer: optim. */
#ifndef RT_ADAMW_H
#define RT_ADAMW_H

#include "model/params.h"

typedef struct rt_adamw_spec {
  double beta1, beta2, eps, weight_decay;
  bool decay_all; /**< decay norms and biases, too */
} rt_adamw_spec;

/** Shard of a tensor on this rank: rows [row0, row0 + n) of its local tile, as
 *  rt_param_parts gives them. */
typedef struct rt_adamw_shard {
  int64_t row0, n;
  rt_view m, v; /**< [n, n_cols] */
} rt_adamw_shard;

typedef struct rt_adamw rt_adamw;

/** Plan the optimizer states.  Each rank of dp updates its part of the rows of
 *  each tile (rt_param_parts). */
RT_MUST rt_err rt_adamw_create(rt_params *params, rt_dev *dev,
                               const rt_adamw_spec *spec, rt_adamw **out);
const rt_arena *rt_adamw_arena(const rt_adamw *opt);
/** After the parameters have memory. */
RT_MUST rt_err rt_adamw_commit(rt_adamw *opt);
void rt_adamw_destroy(rt_adamw **opt);

/** The shard of tensor \a i, for checkpoints. */
rt_adamw_shard *rt_adamw_shard_of(rt_adamw *opt, int i);

/** 2-norm of all gradients, after gradsync; it reads this rank's rows only.
 * Each element of the model counts once, in any layout.  NaN and Inf are
 * returned as such, on all ranks alike. Collective over the grid. */
RT_MUST rt_err rt_adamw_grad_norm(rt_adamw *opt, double *norm);

/** Update with learning rate \a lr and gradients multiplied by \a grad_scale;
 *  \a t counts updates from 1.  Then start to gather the parameters over dp,
 *  bucket by bucket: rt_params_arrive waits for them.  Collective. */
RT_MUST rt_err rt_adamw_update(rt_adamw *opt, int64_t t, double lr,
                               double grad_scale);
/** Set the weights from masters that were read, and gather them over dp.
 *  Collective. */
RT_MUST rt_err rt_adamw_publish(rt_adamw *opt);

#endif
