/** \file attn_bf16.h
 *  Workspace of attention.  Layer: kernels. */
#ifndef K_ATTN_BF16_H
#define K_ATTN_BF16_H

#include "kernels/kernels.h"

/** Bytes of workspace of attention in any type. */
size_t k_attn_fwd_bytes(const k_ctx *ctx, const k_attn_fwd_args *args);
size_t k_attn_bwd_bytes(const k_ctx *ctx, const k_attn_bwd_args *args);

#endif
