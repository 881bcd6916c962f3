/** \file model_shape.h
 *  The shape of a model as plain data, which io fills from config.json and from
 *  which model builds.  Layer: base. */
#ifndef RT_MODEL_SHAPE_H
#define RT_MODEL_SHAPE_H

#include <stdbool.h>
#include <stdint.h>

/** RoPE scaling types of transformers, by their effect on the frequencies. */
typedef enum rt_rope_kind {
  RT_ROPE_PLAIN,   /**< "default" */
  RT_ROPE_LINEAR,  /**< frequencies divided by the factor */
  RT_ROPE_DYNAMIC, /**< NTK: a larger base for rows beyond max_positions */
  RT_ROPE_LLAMA3   /**< low frequencies divided, high ones kept, blended in
                      between */
} rt_rope_kind;

typedef struct rt_rope_scaling {
  rt_rope_kind kind;
  double factor;                            /**< unused by plain */
  double low_freq_factor, high_freq_factor; /**< llama3 */
  int64_t original_positions;               /**< llama3 */
} rt_rope_scaling;

enum { RT_MAX_EOS = 8 };

typedef struct rt_arch {
  char family[32];    /**< "llama" (config.json model_type) */
  int64_t vocab;      /**< V, number of rows of embedding and head */
  int64_t vocab_true; /**< ids from here up to vocab are padding with
                         probability 0; 0: no padding */
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
  double attention_dropout; /**< as in config.json; written into an export,
                               never applied */
  double dropout; /**< the largest dropout in config.json, for a warning */
  int64_t bos_id, eos_id, pad_id; /**< -1 if unknown; only written into an
                                       export, may exceed V */
  int64_t more_eos[RT_MAX_EOS]; /**< [n_more_eos], if config.json has a list */
  int n_more_eos;
} rt_arch;

#endif
