/** \file gemm.h
 *  Matrix products for kernels that already run inside a parallel region.
 *  Layer: kernels. */
#ifndef K_GEMM_H
#define K_GEMM_H

#include "kernels/kernels.h"

/** Like the gemm kernel, but on the calling thread. */
void k_gemm_inside(const k_gemm_args *args);
/** Name and version of the BLAS library, for the banner. */
const char *k_gemm_library(void);
/** Value of OPENBLAS_CORETYPE with which OpenBLAS would use the vector units of
 *  this processor, or NULL if it does already.  OpenBLAS selects kernels by
 *  model number and takes SSE kernels, 5 to 8 times slower, on a processor that
 *  is newer than the library.  It reads the variable when it is loaded. */
const char *k_gemm_better_core(void);

#endif
