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

/** Sums of squares of the gradients of every rank, f64 [n_ranks, 1] on the
 *  device, after gradsync; each rank reads its rows only.  Each element of the
 *  model counts once, in any layout, so the norm is the root of their sum, in
 *  order of ranks: the same bits everywhere.  NaN and Inf reach all ranks.
 *  Collective over the grid. */
RT_MUST rt_err rt_adamw_squares(rt_adamw *opt, rt_view *squares);
/** f64 [1, 5]: the k_adamw_step that the next update reads. */
rt_view rt_adamw_step(const rt_adamw *opt);
const rt_adamw_spec *rt_adamw_spec_of(const rt_adamw *opt);

/** Update, then start to gather the parameters over dp, bucket by bucket:
 *  rt_params_arrive waits for them.  Collective. */
RT_MUST rt_err rt_adamw_update(rt_adamw *opt);
/** Set the weights from masters that were read, and gather them over dp.
 *  Collective. */
RT_MUST rt_err rt_adamw_publish(rt_adamw *opt);

#endif
