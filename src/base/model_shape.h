/** \file model_shape.h
 *  The shape of a model as data, without any behaviour, so that io can fill it
 *  from config.json and model can build from it.  Layer: base. */
#ifndef RT_SHAPE_H
#define RT_SHAPE_H

#include <stdbool.h>
#include <stdint.h>

/** Llama-3 frequency scaling (transformers' "llama3" rope type). */
typedef struct rt_rope_scaling {
  bool on;
  double factor, low_freq_factor, high_freq_factor;
  int64_t original_positions;
} rt_rope_scaling;

typedef struct rt_arch {
  char family[32];    /**< "llama" (config.json model_type) */
  int64_t vocab;      /**< V, rows of embedding and head */
  int64_t vocab_true; /**< ids from here on are padding of these: they have no
                           probability; 0: there is none */
  int64_t width;      /**< D */
  int64_t n_blocks;   /**< L */
  int64_t n_heads;    /**< H */
  int64_t n_kv_heads; /**< G */
  int64_t head_dim;   /**< may differ from D / H */
  int64_t ffn;        /**< F */
  int64_t max_positions;
  double norm_eps;
  double rope_theta;
  rt_rope_scaling rope_scaling;
  bool tied;              /**< head = embedding */
  bool qkv_bias;          /**< biases on q, k, v */
  bool o_bias;            /**< bias on the attention output */
  bool mlp_bias;          /**< biases on gate, up, down */
  double init_std;        /**< initializer_range */
  int64_t bos_id, eos_id; /**< -1 when unknown */
} rt_arch;

#endif
