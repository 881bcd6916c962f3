/** \file gemm_no_onednn.c
 *  In the place of gemm_onednn.c where oneDNN was not found. */
#include "kernels/cpu/gemm.h"

rt_err k_gemm_open(void **out)
{
  *out = NULL;
  return RT_OK;
}

void k_gemm_close(void *kept)
{
  (void)kept;
}

bool k_gemm_has_amx(const k_ctx *ctx)
{
  (void)ctx;
  return false;
}

size_t k_gemm_onednn_bytes(const k_ctx *ctx)
{
  (void)ctx;
  return 0;
}

void k_gemm_onednn(k_ctx *ctx, const k_gemm_args *args)
{
  (void)args;
  ctx->err = RT_FAIL(RT_ERR_INTERNAL, "gemm: built without oneDNN");
}

const char *k_gemm_bf16_library(void)
{
  return "bf16 by CBLAS in f32 (built without oneDNN)";
}
