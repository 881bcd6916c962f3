/** \file gemm_panels.c
 *  Products of bf16 on processors whose instructions for f32 are faster: blocks
 *  of A and B become panels in f32 for CBLAS. */
#include "kernels/cpu/copy.h"
#include "kernels/cpu/gemm.h"

/** Sizes of a block: rows and columns of C, and terms of its sums. */
enum { M = 512, N = 1024, K = 1024 };

size_t k_gemm_panel_bytes(void)
{
  return sizeof(float) * (M * K + K * N + M * N);
}

static int64_t smaller(int64_t a, int64_t b)
{
  return a < b ? a : b;
}

/** Rows [r0, r0 + n) and columns [c0, c0 + m) of op(x), in x's own layout. */
static rt_view block_of(rt_view x, bool trans, const int64_t at[2],
                        const int64_t size[2])
{
  return rt_view_cols(rt_view_rows(x, at[trans], size[trans]), at[!trans],
                      size[!trans]);
}

static rt_view to_panel(k_ctx *ctx, rt_view block, float *at)
{
  const rt_view panel = rt_view_of(at, RT_F32, block.rows, block.cols);
  k_copy_rows(ctx, panel, block);
  return panel;
}

/** One block of C. */
static void multiply(k_ctx *ctx, const k_gemm_args *g, int64_t m0, int64_t n0)
{
  float *const a = ctx->workspace, *const b = a + M * K, *const c = b + K * N;
  const int64_t m = smaller(M, g->c.rows - m0), n = smaller(N, g->c.cols - n0);
  const int64_t n_terms = g->trans_a ? g->a.rows : g->a.cols;
  const rt_view out = rt_view_cols(rt_view_rows(g->c, m0, m), n0, n);
  const bool direct = out.dtype == RT_F32;
  k_gemm_args part = *g;
  part.c = direct ? out : rt_view_of(c, RT_F32, m, n);
  if (!direct && g->beta != 0.0)
    k_copy_rows(ctx, part.c, out);
  for (int64_t k0 = 0; k0 < n_terms; k0 += K) {
    const int64_t k = smaller(K, n_terms - k0);
    part.a = to_panel(
        ctx, block_of(g->a, g->trans_a, (int64_t[]){m0, k0}, (int64_t[]){m, k}),
        a);
    part.b = to_panel(
        ctx, block_of(g->b, g->trans_b, (int64_t[]){k0, n0}, (int64_t[]){k, n}),
        b);
    k_gemm_blas(&part);
    part.beta = 1.0;
  }
  if (!direct)
    k_copy_rows(ctx, out, part.c);
}

void k_gemm_panels(k_ctx *ctx, const k_gemm_args *args)
{
  for (int64_t m0 = 0; m0 < args->c.rows; m0 += M)
    for (int64_t n0 = 0; n0 < args->c.cols; n0 += N)
      multiply(ctx, args, m0, n0);
}
