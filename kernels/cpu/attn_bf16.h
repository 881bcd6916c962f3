/** \file attn_bf16.h
 *  Workspace of attention in bf16.  Layer: kernels. */
#ifndef K_ATTN_BF16_H
#define K_ATTN_BF16_H

#include "kernels/kernels.h"

/** Bytes in addition to those of attention in f32, in front of them; 0 for
 *  views in another type. */
size_t k_attn_fwd_copies(int n_threads, const k_attn_fwd_args *args);
size_t k_attn_bwd_copies(int n_threads, const k_attn_bwd_args *args);

#endif
