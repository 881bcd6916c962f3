/** \file gemm_no_onednn.c
 *  In the place of gemm_onednn.c where oneDNN was not found. */
#include "kernels/cpu/gemm.h"

rt_err k_onednn_open(void **out)
{
  *out = NULL;
  return RT_OK;
}

void k_onednn_close(void *kept)
{
  (void)kept;
}

size_t k_onednn_bytes(int n_threads)
{
  (void)n_threads;
  return 0;
}

void k_gemm_onednn(k_ctx *ctx, const k_gemm_args *args)
{
  (void)args;
  ctx->err = RT_FAIL(RT_ERR_INTERNAL, "gemm: built without oneDNN");
}

const char *k_onednn_library(void)
{
  return "bf16 by CBLAS in f32 (built without oneDNN)";
}
