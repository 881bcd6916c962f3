/** \file gemm_pieces.h
 *  How a product is divided among threads.  Layer: kernels. */
#ifndef K_GEMM_PIECES_H
#define K_GEMM_PIECES_H

#include "kernels/kernels.h"

/** Pieces of C, all but the last of a row or column of them equal. */
typedef struct k_gemm_pieces {
  int64_t rows, cols;     /**< of a piece */
  int64_t n_rows, n_cols; /**< pieces */
} k_gemm_pieces;

typedef struct k_gemm_limits {
  int64_t rows, cols;         /**< most of a piece */
  int64_t row_step, col_step; /**< a piece has multiples of these */
  int64_t least;              /**< what is never divided */
} k_gemm_limits;

/** The size of even parts of \a n of at most \a most, a multiple of \a step. */
int64_t k_gemm_part(int64_t n, int64_t most, int64_t step);

/** Enough pieces for all threads. */
k_gemm_pieces k_gemm_divide(const k_gemm_args *g, k_gemm_limits limits,
                            int n_threads);

#endif
