/** \file block.h
 *  Forward and backward of one transformer block.  Layer: model.
 *
 *    mid = x + Wo attention(rope(Wq n1), rope(Wk n1), Wv n1),  n1 = norm(x)
 *    out = mid + Wdown (silu(Wgate n2) * (Wup n2)),            n2 = norm(mid)
 */
#ifndef RT_BLOCK_H
#define RT_BLOCK_H

#include "model/acts.h"
#include "model/model.h"
#include "model/tensors.h"

/** The tensors of one block, by rt_tensor_id; absent ones are NULL. */
typedef struct rt_block {
  const rt_param *t[RT_N_TENSORS]; // borrowed
} rt_block;

/** Arguments common to all blocks of a pass. */
typedef struct rt_block_env {
  const rt_arch *arch;         // borrowed
  const rt_grid *grid;         // borrowed
  rt_dev *dev;                 // borrowed
  const rt_tokens_in *in;      // borrowed
  int64_t n_heads, n_kv_heads; /**< on this rank */
  rt_view rope;                /**< real [seq, head_dim] */
} rt_block_env;

/** Forward from activation X to \a out [N, D].  \a out may share memory with X
 *  if no backward follows.  Collective over tp. */
RT_MUST rt_err rt_block_forward(const rt_block *block, const rt_block_env *env,
                                const rt_acts *acts, rt_view out);

/** Compute again what rt_block_backward() reads, from activation X: the forward
 *  without its last projection.  Collective over tp. */
RT_MUST rt_err rt_block_recompute(const rt_block *block,
                                  const rt_block_env *env, const rt_acts *acts);

/** Backward.  In: activation DX is the gradient with respect to the block's
 *  output; out: with respect to its input.  Weight gradients are accumulated.
 *  Overwrites GATE_UP.  Collective over tp. */
RT_MUST rt_err rt_block_backward(const rt_block *block, const rt_block_env *env,
                                 const rt_acts *acts);

#endif
