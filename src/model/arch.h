/** \file arch.h
 *  The shape of a model as data.  Layer: model.  Filled from a Hugging Face
 *  config.json (io/hfconfig.h) or from deck keys (student.*). */
#ifndef RT_ARCH_H
#define RT_ARCH_H

#include "base/err.h"
#include <stdint.h>

/** Llama-3 frequency scaling (transformers' "llama3" rope type). */
typedef struct rt_rope_scaling {
  bool on;
  double factor, low_freq_factor, high_freq_factor;
  int64_t original_positions;
} rt_rope_scaling;

typedef struct rt_arch {
  char family[32];      /**< "llama" (config.json model_type) */
  int64_t vocab;        /**< V, true */
  int64_t width;        /**< D */
  int64_t n_blocks;     /**< L */
  int64_t n_heads;      /**< H */
  int64_t n_kv_heads;   /**< G */
  int64_t head_dim;     /**< may differ from D / H */
  int64_t ffn;          /**< F */
  int64_t max_positions;
  double norm_eps;
  double rope_theta;
  rt_rope_scaling rope_scaling;
  bool tied;            /**< head = embedding */
  bool qkv_bias;        /**< biases on q, k, v */
  bool o_bias;          /**< bias on the attention output */
  bool mlp_bias;        /**< biases on gate, up, down */
  double init_std;      /**< initializer_range */
  int64_t bos_id, eos_id; /**< -1 when unknown */
} rt_arch;

/** Consistent in itself?  RT_ERR_CONFIG names the field; \a where: a path. */
RT_MUST rt_err rt_arch_check(const rt_arch *arch, const char *where);
/** Can it be split over tp?  Else the numbers and the list of valid tp.  Heads
 *  must divide; kv heads divide tp or are divided by it (then replicated);
 *  ffn must divide; the vocabulary is padded. */
RT_MUST rt_err rt_arch_check_tp(const rt_arch *arch, int tp, const char *what);
/** Parameters, counting a tied head once. */
int64_t rt_arch_n_params(const rt_arch *arch);
/** FLOPs of one token's forward at sequence length T: 2 per multiply-add of
 *  every GEMM incl. the head, attention as computed (causal half). Training
 *  costs three times this. */
double rt_arch_flops_fwd(const rt_arch *arch, int64_t seq);

#endif
