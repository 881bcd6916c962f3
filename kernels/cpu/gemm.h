/** \file gemm.h
 *  Matrix products on a CPU: parts of the gemm kernel, and products for kernels
 *  that already run inside a parallel region.  Layer: kernels. */
#ifndef K_GEMM_H
#define K_GEMM_H

#include "kernels/kernels.h"

/** The gemm kernel in f32 or f64 on the calling thread, which is inside a
 *  parallel region; without addend. */
void k_gemm_inside(const k_gemm_args *args);

/** Products of f32 or f64 by CBLAS; on the calling thread where that is inside
 *  a parallel region. */
void k_gemm_blas(const k_gemm_args *args);

/** Does k_gemm_avx512 multiply f32?  Where the processor has AVX-512 and CBLAS
 *  is OpenBLAS, which is slower. */
bool k_gemm_has_avx512(void);
/** The gemm kernel in f32 in k_gemm_avx512_bytes of the workspace. */
void k_gemm_avx512(k_ctx *ctx, const k_gemm_args *args);
size_t k_gemm_avx512_bytes(const k_ctx *ctx);
/** The same on the calling thread, without a workspace, for small products. */
void k_gemm_avx512_inside(const k_gemm_args *args);

/** If CBLAS multiplies this type, compute a product of zeros, C of size[0] x
 *  size[1] with sums of size[2], so that it has the memory that it keeps for
 *  packed panels. */
RT_MUST rt_err k_gemm_touch(const k_ctx *ctx, rt_dtype type,
                            const int64_t size[3]);

/** Workspace of the gemm kernel. */
size_t k_gemm_bytes(const k_ctx *ctx, const k_gemm_args *args);

/** What products of bf16 keep from call to call, for k_ctx.backend; *out is
 *  NULL where k_gemm_panels computes them. */
RT_MUST rt_err k_gemm_open(void **out);
void k_gemm_close(void *kept);
/** Are they computed by AMX? */
bool k_gemm_has_amx(const k_ctx *ctx);
/** Memory that oneDNN takes for them, if it computes them. */
size_t k_gemm_onednn_bytes(const k_ctx *ctx);

/** The same for oneDNN, where AMX is not used; *out is NULL where it is not
 *  built in, or k_gemm_panels is faster on this processor. */
RT_MUST rt_err k_onednn_open(void **out);
void k_onednn_close(void *kept);
/** What computes products of bf16 without AMX, for the banner. */
const char *k_onednn_library(void);
/** Memory that it takes on so many threads. */
size_t k_onednn_bytes(int n_threads);
/** The gemm kernel in bf16 by oneDNN; ctx->backend is from k_onednn_open, and
 *  not NULL. */
void k_gemm_onednn(k_ctx *ctx, const k_gemm_args *args);
/** The same by AMX, in k_gemm_amx_bytes of the workspace. */
void k_gemm_amx(k_ctx *ctx, const k_gemm_args *args);
size_t k_gemm_amx_bytes(const k_ctx *ctx);
/** The same by CBLAS, from panels in f32 that take k_gemm_panel_bytes of the
 *  workspace. */
void k_gemm_panels(k_ctx *ctx, const k_gemm_args *args);
size_t k_gemm_panel_bytes(void);

bool k_gemm_is_openblas(void);
/** Name and version of the BLAS library, for the banner. */
const char *k_gemm_library(void);
/** What computes products of f32, and of bf16, for the banner. */
const char *k_gemm_f32_library(void);
const char *k_gemm_bf16_library(void);
/** Value of OPENBLAS_CORETYPE with which OpenBLAS would use the vector units of
 *  this processor, or NULL if it does already.  OpenBLAS selects kernels by
 *  model number and takes SSE kernels, 5 to 8 times slower, on a processor that
 *  is newer than the library.  It reads the variable when it is loaded. */
const char *k_gemm_better_core(void);

#endif
