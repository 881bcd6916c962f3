/** \file acts.h
 *  The activations of a pass over the blocks: one table row each.  Layer:
 *  model. */
#ifndef RT_ACTS_H
#define RT_ACTS_H

#include "base/arena.h"
#include "base/model_shape.h"

/** Lifetime of an activation. */
typedef enum rt_life {
  RT_LIFE_INPUT,     /**< training: one per block, from forward to backward */
  RT_LIFE_SAVE,      /**< the same, unless whole blocks are recomputed */
  RT_LIFE_RECOMPUTE, /**< computed in forward, recomputed in backward */
  RT_LIFE_SCRATCH    /**< backward only */
} rt_life;

/** What is kept of each block. */
typedef enum rt_keep {
  RT_KEEP_NOTHING, /**< there is no backward */
  RT_KEEP_INPUTS,  /**< INPUT: backward computes the block's forward again */
  RT_KEEP_SAVED    /**< INPUT and SAVE */
} rt_keep;

/** The half of a block that uses it; the halves may share memory. */
typedef enum rt_half { RT_HALF_BOTH, RT_HALF_ATTN, RT_HALF_MLP } rt_half;

// clang-format off
/** A(id, columns, life, half, role).  Rows are tokens.  Columns are sizes on
 *  this rank: D width, Q query heads times head_dim, P query, key and value heads
 *  times head_dim, H query heads, F ffn.  role: of the type, see rt_types. */
#define RT_ACT_LIST(A)                                                         \
  A(X,         D, INPUT,     BOTH, act) /* the block's input               */  \
  A(ATTN_RSTD, 1, SAVE,      BOTH, stat)                                       \
  A(QKV,       P, SAVE,      ATTN, act) /* q and k after rope, v           */  \
  A(O,         Q, SAVE,      ATTN, act) /* heads' outputs, before o_proj   */  \
  A(LSE,       H, SAVE,      ATTN, stat)                                       \
  A(MID,       D, SAVE,      BOTH, act) /* x + attention                   */  \
  A(MLP_RSTD,  1, SAVE,      BOTH, stat)                                       \
  A(GATE_UP, 2*F, SAVE,      MLP,  act)                                        \
  A(Y,         D, RECOMPUTE, BOTH, act) /* normed input; its gradient      */  \
  A(S,         F, RECOMPUTE, MLP,  act) /* swiglu; its gradient            */  \
  A(DX,        D, SCRATCH,   BOTH, act) /* gradient to output, mid, input  */  \
  A(DO,        Q, SCRATCH,   ATTN, act)                                        \
  A(DQKV,      P, SCRATCH,   ATTN, act)
// clang-format on

#define RT_ACT_ENUM(id, ...) RT_ACT_##id,
typedef enum rt_act { RT_ACT_LIST(RT_ACT_ENUM) RT_N_ACTS } rt_act;
#undef RT_ACT_ENUM

/** The activations of one block. */
typedef struct rt_acts {
  rt_view v[RT_N_ACTS]; /**< by rt_act; [N, columns] */
} rt_acts;

/** Sizes on this rank, and the number of rows to plan for. */
typedef struct rt_acts_size {
  int64_t n_tokens;
  int64_t width, n_heads, n_kv_heads, head_dim, ffn; // D, then local ones
  rt_types types;
} rt_acts_size;

/** Reserve the activations of \a n_blocks blocks: what is kept of each block in
 *  \a save [n_blocks], all others once, in \a shared.  With RT_KEEP_NOTHING \a
 *  save is unused, and there is no SCRATCH.  Call this last for the arena,
 *  because it rewinds it.  The views must not move until the arena's commit. */
RT_MUST rt_err rt_acts_reserve(rt_arena *arena, const rt_acts_size *size,
                               rt_keep keep, int n_blocks, rt_acts *save,
                               rt_acts *shared);

/** The activations of the first \a n tokens: those of a block in \a save (NULL:
 *  nothing is kept) and those in \a shared. */
rt_acts rt_acts_of(const rt_acts *save, const rt_acts *shared, int64_t n);

#endif
