/** \file gemm.c
 *  The gemm kernel: checks sizes and types, and chooses a library. */
#include "kernels/cpu/gemm.h"

#include "kernels/cpu/amx.h"
#include "kernels/cpu/copy.h"
#include "kernels/cpu/table_cpu.h"
#include <omp.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

/** Products by AMX keep nothing: k_ctx.backend points here. */
static const char by_amx;

/** The variable that limits oneDNN's instructions limits all products of bf16,
 *  in builds without oneDNN, too. */
static bool is_amx_allowed(void)
{
  const char *isa = getenv("ONEDNN_MAX_CPU_ISA");
  if (isa == NULL)
    isa = getenv("DNNL_MAX_CPU_ISA");
  return isa == NULL || isa[0] == '\0' || strcasecmp(isa, "ALL") == 0 ||
         strcasecmp(isa, "DEFAULT") == 0 || strcasestr(isa, "AMX") != NULL;
}

static bool uses_amx(void)
{
  return is_amx_allowed() && k_amx_usable();
}

rt_err k_gemm_open(void **out)
{
  if (!uses_amx())
    return k_onednn_open(out);
  *out = (void *)&by_amx;
  return RT_OK;
}

void k_gemm_close(void *kept)
{
  if (kept != &by_amx)
    k_onednn_close(kept);
}

bool k_gemm_has_amx(const k_ctx *ctx)
{
  return ctx->backend == &by_amx;
}

size_t k_gemm_onednn_bytes(const k_ctx *ctx)
{
  return ctx->backend == NULL || k_gemm_has_amx(ctx)
             ? 0
             : k_onednn_bytes(ctx->n_threads);
}

const char *k_gemm_bf16_library(void)
{
  return uses_amx() ? "bf16 by Retort's own products (amx)"
                    : k_onednn_library();
}

/** Do the sizes match?  The shapes in the table cannot express transposition.
 */
static bool shapes_fit(const k_gemm_args *g)
{
  const int64_t m = g->trans_a ? g->a.cols : g->a.rows;
  const int64_t k = g->trans_a ? g->a.rows : g->a.cols;
  const int64_t kb = g->trans_b ? g->b.cols : g->b.rows;
  const int64_t n = g->trans_b ? g->b.rows : g->b.cols;
  return m == g->c.rows && n == g->c.cols && k == kb && k > 0 &&
         (g->addend.data == NULL ||
          ((g->addend.rows == m || g->addend.rows == 1) &&
           g->addend.cols == n));
}

static bool types_fit(const k_gemm_args *g)
{
  const rt_dtype a = g->a.dtype, c = g->c.dtype;
  return a == g->b.dtype && (a == c || (a == RT_BF16 && c == RT_F32)) &&
         (g->addend.data == NULL || g->addend.dtype == c);
}

static int64_t larger(int64_t a, int64_t b)
{
  return a > b ? a : b;
}

/** Does CBLAS multiply this type?  \a of: what it multiplies then. */
static bool by_blas(const k_ctx *ctx, rt_dtype type, rt_dtype *of)
{
  *of = type == RT_F64 ? RT_F64 : RT_F32;
  return type == RT_F64 || (type == RT_F32 && !k_gemm_has_avx512()) ||
         (type == RT_BF16 && ctx->backend == NULL);
}

rt_err k_gemm_touch(const k_ctx *ctx, rt_dtype type, const int64_t size[3])
{
  const int64_t rows = size[0], cols = size[1], terms = size[2];
  rt_dtype of;
  if (!by_blas(ctx, type, &of))
    return RT_OK;
  // all are zeros, so one block stands for all three
  const int64_t most = larger(rows * cols, terms * larger(rows, cols));
  void *const zeros = calloc((size_t)most, rt_dtype_size(of));
  RT_CHECK(zeros != NULL, RT_ERR_MEM, "a product of %lld x %lld",
           (long long)rows, (long long)cols);
  const k_gemm_args product = {.a = rt_view_of(zeros, of, rows, terms),
                               .b = rt_view_of(zeros, of, terms, cols),
                               .c = rt_view_of(zeros, of, rows, cols),
                               .alpha = 1.0};
  omp_set_num_threads(ctx->n_threads);
  k_gemm_blas(&product);
  free(zeros);
  return RT_OK;
}

static bool by_avx512(const k_gemm_args *g)
{
  return g->a.dtype == RT_F32 && k_gemm_has_avx512();
}

void k_gemm_inside(const k_gemm_args *g)
{
  if (by_avx512(g))
    k_gemm_avx512_inside(g);
  else
    k_gemm_blas(g);
}

const char *k_gemm_f32_library(void)
{
  return k_gemm_has_avx512() ? "f32 by Retort's own products (avx512)"
                             : "f32 by CBLAS";
}

size_t k_gemm_bytes(const k_ctx *ctx, const k_gemm_args *g)
{
  if (by_avx512(g))
    return k_gemm_avx512_bytes(ctx);
  if (g->a.dtype != RT_BF16)
    return 0;
  if (k_gemm_has_amx(ctx))
    return k_gemm_amx_bytes(ctx);
  return ctx->backend != NULL ? 0 : k_gemm_panel_bytes();
}

/** Products add to C: it begins as the addend. */
static void put_addend(k_ctx *ctx, const k_gemm_args *g)
{
  rt_view x = g->addend;
  if (x.data == NULL || x.data == g->c.data || g->beta == 0.0)
    return;
  if (x.rows < g->c.rows) { // the same row again and again
    x.rows = g->c.rows;
    x.ld = 0;
  }
  k_copy_rows(ctx, g->c, x);
}

void k_gemm_cpu(k_ctx *ctx, const void *args)
{
  const k_gemm_args *g = args;
  if (!shapes_fit(g) || !types_fit(g)) {
    ctx->err = RT_FAIL(
        RT_ERR_INTERNAL,
        "gemm: a %s [%lld, %lld] b %s [%lld, %lld] c %s [%lld, %lld] trans %d "
        "%d do not fit",
        rt_dtype_name(g->a.dtype), (long long)g->a.rows, (long long)g->a.cols,
        rt_dtype_name(g->b.dtype), (long long)g->b.rows, (long long)g->b.cols,
        rt_dtype_name(g->c.dtype), (long long)g->c.rows, (long long)g->c.cols,
        g->trans_a, g->trans_b);
    return;
  }
  if (g->c.rows == 0 || g->c.cols == 0)
    return;
  put_addend(ctx, g);
  // the libraries take their number of threads from OpenMP
  omp_set_num_threads(ctx->n_threads);
  if (by_avx512(g))
    k_gemm_avx512(ctx, g);
  else if (g->a.dtype != RT_BF16)
    k_gemm_blas(g);
  else if (k_gemm_has_amx(ctx))
    k_gemm_amx(ctx, g);
  else if (ctx->backend != NULL)
    k_gemm_onednn(ctx, g);
  else
    k_gemm_panels(ctx, g);
}
