/** \file arch.h
 *  Questions about a model's shape (base/shape.h), which is filled from a
 *  Hugging Face config.json (io/hf/hfconfig.h) or from deck keys (student.*).
 *  Layer: model. */
#ifndef RT_ARCH_H
#define RT_ARCH_H

#include "base/err.h"
#include "base/model_shape.h"
#include <stdint.h>

/** Consistent in itself?  RT_ERR_CONFIG names the field; \a where: a path. */
RT_MUST rt_err rt_arch_check(const rt_arch *arch, const char *where);
/** Can it be split over tp?  Else the numbers and the list of valid tp.  Heads
 *  must divide; kv heads divide tp or are divided by it (then replicated);
 *  ffn must divide; the vocabulary is padded. */
RT_MUST rt_err rt_arch_check_tp(const rt_arch *arch, int tp, const char *what);
/** Parameters, counting a tied head once. */
/** How many ids have a probability. */
int64_t rt_arch_true_vocab(const rt_arch *arch);
int64_t rt_arch_n_params(const rt_arch *arch);
/** FLOPs of one token's forward at sequence length T: 2 per multiply-add of
 *  every GEMM incl. the head, attention as computed (causal half). Training
 *  costs three times this. */
double rt_arch_flops_fwd(const rt_arch *arch, int64_t seq);

#endif
