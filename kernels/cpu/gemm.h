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

#endif
