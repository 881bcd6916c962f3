/** \file arch.h
 *  Checks and counts for the shape of a model (base/model_shape.h), which is
 *  filled from a Hugging Face config.json (io/hf/hfconfig.h) or from the deck
 *  (student.*).  Layer: model. */
#ifndef RT_ARCH_H
#define RT_ARCH_H

#include "base/err.h"
#include "base/model_shape.h"
#include <stdint.h>

/** Check that the shape is consistent.  RT_ERR_CONFIG names the field; \a where
 *  is the path or deck key for the message. */
RT_MUST rt_err rt_arch_check(const rt_arch *arch, const char *where);
/** Check that the model can be divided over \a tp ranks; otherwise the message
 *  lists the valid values.  tp must divide the heads and ffn, and divide the kv
 *  heads or be a multiple of them (which are then replicated).  The vocabulary
 *  is padded. */
RT_MUST rt_err rt_arch_check_tp(const rt_arch *arch, int tp, const char *what);
/** Number of ids that are not padding. */
int64_t rt_arch_true_vocab(const rt_arch *arch);
/** Number of parameters, counting a tied head once. */
int64_t rt_arch_n_params(const rt_arch *arch);
/** FLOPs of the forward pass per token at sequence length T: 2 per multiply-add
 *  of every GEMM including the head; attention as computed (causal half).
 *  Training costs three times as much. */
double rt_arch_flops_fwd(const rt_arch *arch, int64_t seq);

#endif
