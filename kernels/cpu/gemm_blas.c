/** \file gemm_blas.c
 *  Matrix products by the CBLAS that Retort is linked with. */
#include "kernels/cpu/gemm.h"

#include <cblas.h>
#include <string.h>
#include <strings.h>

/** Rows of C per call.  OpenBLAS packs a panel whose size grows with the rows
 *  of C into memory that it never frees, up to 30 MiB per thread.  Splitting C
 *  is as fast and needs a tenth of that. */
enum { ROWS = 4096 };

static void call_blas(const k_gemm_args *g)
{
  const int m = (int)g->c.rows, n = (int)g->c.cols;
  const int k = (int)(g->trans_a ? g->a.rows : g->a.cols);
  const int lda = (int)g->a.ld, ldb = (int)g->b.ld, ldc = (int)g->c.ld;
#define TRANS(yes)                                                             \
  ((yes) ? CblasTrans                                                          \
         : CblasNoTrans) // the enum's name differs between BLAS libraries
  if (g->c.dtype == RT_F64)
    cblas_dgemm(CblasRowMajor, TRANS(g->trans_a), TRANS(g->trans_b), m, n, k,
                g->alpha, g->a.data, lda, g->b.data, ldb, g->beta, g->c.data,
                ldc);
  else
    cblas_sgemm(CblasRowMajor, TRANS(g->trans_a), TRANS(g->trans_b), m, n, k,
                (float)g->alpha, g->a.data, lda, g->b.data, ldb, (float)g->beta,
                g->c.data, ldc);
}

void k_gemm_blas(const k_gemm_args *args)
{
  if (args->c.cols == 0)
    return;
  for (int64_t r = 0; r < args->c.rows; r += ROWS) {
    const int64_t n = args->c.rows - r < ROWS ? args->c.rows - r : ROWS;
    k_gemm_args piece = *args;
    piece.a = args->trans_a ? rt_view_cols(args->a, r, n)
                            : rt_view_rows(args->a, r, n);
    piece.c = rt_view_rows(args->c, r, n);
    call_blas(&piece);
  }
}

// only OpenBLAS defines these symbols
extern char *openblas_get_config(void) __attribute__((weak));
extern char *openblas_get_corename(void) __attribute__((weak));

bool k_gemm_is_openblas(void)
{
  return openblas_get_config != NULL;
}

const char *k_gemm_library(void)
{
  return k_gemm_is_openblas() ? openblas_get_config() : "CBLAS";
}

/** Kernels for AVX2 or newer that OpenBLAS 0.3 may choose by itself. */
static bool is_modern(const char *core)
{
  static const char *const modern[] = {"haswell", "zen", "skylakex",
                                       "cooperlake", "sapphirerapids"};
  for (size_t i = 0; i < sizeof modern / sizeof modern[0]; i++)
    if (strcasecmp(core, modern[i]) == 0)
      return true;
  return false;
}

const char *k_gemm_better_core(void)
{
#ifdef __x86_64__
  if (openblas_get_corename == NULL || is_modern(openblas_get_corename()))
    return NULL;
  __builtin_cpu_init();
  if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512vl") &&
      __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq"))
    return "SkylakeX";
  if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"))
    return "Haswell";
#endif
  return NULL;
}
