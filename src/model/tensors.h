/** \file tensors.h
 *  The table of a model's tensors.  Layer: model.
 *
 *  Names, shapes, distribution over tp, initial values and weight decay all
 *  come from these rows; a new family adds rows (or conditions), not code.
 *  Sizes are expressions of D width, Q = H head_dim, G kv heads times head_dim,
 *  F ffn, V vocabulary, and of the shape \c a. */
#ifndef RT_TENSORS_H
#define RT_TENSORS_H

#include "model/params.h"

/** Position in the model, which determines the gradient bucket. */
typedef enum rt_place {
  RT_AT_START, /**< once, before the blocks: bucket 0 */
  RT_AT_BLOCK, /**< in every block: bucket 1 + block */
  RT_AT_END    /**< once, after the blocks: the last bucket */
} rt_place;

// clang-format off
/** T(id, name in files, place, condition, rows, cols, split, init, decay).
 *  rows 0: a vector.  init RESIDUAL: normal, divided by sqrt(2 L).  A bias
 *  follows its matrix. */
#define RT_TENSOR_LIST(T)                                                      \
  T(EMBED,     "model.embed_tokens.weight",                                    \
    START, true,        V, D, ROWS, NORMAL,   true)                            \
  T(ATTN_NORM, "model.layers.%d.input_layernorm.weight",                       \
    BLOCK, true,        0, D, NONE, ONES,     false)                           \
  T(Q,         "model.layers.%d.self_attn.q_proj.weight",                      \
    BLOCK, true,        Q, D, ROWS, NORMAL,   true)                            \
  T(Q_BIAS,    "model.layers.%d.self_attn.q_proj.bias",                        \
    BLOCK, a->qkv_bias, 0, Q, ROWS, ZEROS,    false)                           \
  T(K,         "model.layers.%d.self_attn.k_proj.weight",                      \
    BLOCK, true,        G, D, KV,   NORMAL,   true)                            \
  T(K_BIAS,    "model.layers.%d.self_attn.k_proj.bias",                        \
    BLOCK, a->qkv_bias, 0, G, KV,   ZEROS,    false)                           \
  T(V,         "model.layers.%d.self_attn.v_proj.weight",                      \
    BLOCK, true,        G, D, KV,   NORMAL,   true)                            \
  T(V_BIAS,    "model.layers.%d.self_attn.v_proj.bias",                        \
    BLOCK, a->qkv_bias, 0, G, KV,   ZEROS,    false)                           \
  T(O,         "model.layers.%d.self_attn.o_proj.weight",                      \
    BLOCK, true,        D, Q, COLS, RESIDUAL, true)                            \
  T(O_BIAS,    "model.layers.%d.self_attn.o_proj.bias",                        \
    BLOCK, a->o_bias,   0, D, NONE, ZEROS,    false)                           \
  T(MLP_NORM,  "model.layers.%d.post_attention_layernorm.weight",              \
    BLOCK, true,        0, D, NONE, ONES,     false)                           \
  T(GATE,      "model.layers.%d.mlp.gate_proj.weight",                         \
    BLOCK, true,        F, D, ROWS, NORMAL,   true)                            \
  T(GATE_BIAS, "model.layers.%d.mlp.gate_proj.bias",                           \
    BLOCK, a->mlp_bias, 0, F, ROWS, ZEROS,    false)                           \
  T(UP,        "model.layers.%d.mlp.up_proj.weight",                           \
    BLOCK, true,        F, D, ROWS, NORMAL,   true)                            \
  T(UP_BIAS,   "model.layers.%d.mlp.up_proj.bias",                             \
    BLOCK, a->mlp_bias, 0, F, ROWS, ZEROS,    false)                           \
  T(DOWN,      "model.layers.%d.mlp.down_proj.weight",                         \
    BLOCK, true,        D, F, COLS, RESIDUAL, true)                            \
  T(DOWN_BIAS, "model.layers.%d.mlp.down_proj.bias",                           \
    BLOCK, a->mlp_bias, 0, D, NONE, ZEROS,    false)                           \
  T(NORM,      "model.norm.weight",                                            \
    END,   true,        0, D, NONE, ONES,     false)                           \
  T(HEAD,      "lm_head.weight",                                               \
    END,   !a->tied,    V, D, ROWS, NORMAL,   true)
// clang-format on

#define RT_TENSOR_ENUM(id, ...) RT_TENSOR_##id,
typedef enum rt_tensor_id {
  RT_TENSOR_LIST(RT_TENSOR_ENUM) RT_N_TENSORS
} rt_tensor_id;
#undef RT_TENSOR_ENUM

/** A row of the table, evaluated for one shape. */
typedef struct rt_tensor {
  const char *name; /**< borrowed; "%d" stands for the block number */
  rt_place place;
  bool present;
  int64_t rows, cols; /**< size of the whole tensor; a vector is [1, n] */
  bool vector;
  rt_split split;
  rt_init init;
  double init_std;
  bool decay;
} rt_tensor;

/** The tensor of the same block directly behind which this one lies in memory,
 *  so that one product takes both; \a id itself if there is none. */
rt_tensor_id rt_tensor_before(rt_tensor_id id);

/** Evaluate all rows for \a a. */
void rt_tensors_of(const rt_arch *a, rt_tensor out[RT_N_TENSORS]);

#endif
