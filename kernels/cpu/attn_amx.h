/** \file attn_amx.h
 *  Attention in bf16 by AMX.  Layer: kernels. */
#ifndef K_ATTN_AMX_H
#define K_ATTN_AMX_H

#include "kernels/kernels.h"

/** Can it be used?  Where products of bf16 use AMX, too, for heads of up to
 *  256 columns. */
bool k_attn_has_amx(const k_ctx *ctx, int64_t head_dim);
/** Bytes of workspace. */
size_t k_attn_fwd_amx_bytes(const k_ctx *ctx, const k_attn_fwd_args *args);
size_t k_attn_bwd_amx_bytes(const k_ctx *ctx, const k_attn_bwd_args *args);
void k_attn_fwd_amx(k_ctx *ctx, const k_attn_fwd_args *args);
void k_attn_bwd_amx(k_ctx *ctx, const k_attn_bwd_args *args);

#endif
