/** \file model_shape.h
 *  The shape of a model as data, without any behaviour, so that io can fill it
 *  from config.json and model can build from it.  Layer: base. */
#ifndef RT_SHAPE_H
#define RT_SHAPE_H

#include <stdbool.h>
#include <stdint.h>

/** transformers' rope types, by what they do to the frequencies. */
typedef enum rt_rope_kind {
  RT_ROPE_PLAIN,   /**< "default" */
  RT_ROPE_LINEAR,  /**< divided by the factor */
  RT_ROPE_DYNAMIC, /**< NTK: of a larger base for rows beyond max_positions */
  RT_ROPE_LLAMA3   /**< low ones divided, high ones kept, blended between */
} rt_rope_kind;

typedef struct rt_rope_scaling {
  rt_rope_kind kind;
  double factor;                            /**< all but plain */
  double low_freq_factor, high_freq_factor; /**< llama3 */
  int64_t original_positions;               /**< llama3 */
} rt_rope_scaling;

enum { RT_MAX_EOS = 8 };

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
  bool tied;                /**< head = embedding */
  bool qkv_bias;            /**< biases on q, k, v */
  bool o_bias;              /**< bias on the attention output */
  bool mlp_bias;            /**< biases on gate, up, down */
  double init_std;          /**< initializer_range */
  double attention_dropout; /**< asked for in training: written into an
                                 export, never applied */
  double dropout;           /**< the largest of all such, for a warning */
  int64_t bos_id, eos_id; /**< -1 when unknown; may lie beyond V: they are only
                               written into an export */
  int64_t more_eos[RT_MAX_EOS]; /**< [n_more_eos], of a list of several */
  int n_more_eos;
} rt_arch;

#endif
