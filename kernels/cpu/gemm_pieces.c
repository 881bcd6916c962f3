/** \file gemm_pieces.c
 *  How a product is divided among threads. */
#include "kernels/cpu/gemm_pieces.h"

#include "base/split.h"

static int64_t count(int64_t n, int64_t part)
{
  return (n + part - 1) / part;
}

int64_t k_gemm_part(int64_t n, int64_t most, int64_t step)
{
  RT_ASSERT(n > 0);
  return rt_round_up(count(n, count(n, most)), step);
}

/** Do \a n pieces occupy the threads, nearly until the last one ends? */
static bool is_even(int64_t n, int64_t n_threads)
{
  const int64_t turns = count(n, n_threads);
  return n >= 2 * n_threads && 10 * turns * n_threads <= 11 * n;
}

k_gemm_pieces k_gemm_divide(const k_gemm_args *g, k_gemm_limits limits,
                            int n_threads)
{
  const int64_t m = g->c.rows, n = g->c.cols;
  for (;;) {
    k_gemm_pieces p = {.rows = k_gemm_part(m, limits.rows, limits.row_step),
                       .cols = k_gemm_part(n, limits.cols, limits.col_step)};
    p.n_rows = count(m, p.rows);
    p.n_cols = count(n, p.cols);
    const bool rows = limits.rows > limits.least && m > limits.least;
    const bool cols = limits.cols > limits.least && n > limits.least;
    if (is_even(p.n_rows * p.n_cols, n_threads) || !(rows || cols))
      return p;
    // a transposed A is dear to cut by columns, B by rows
    if (rows && (g->trans_a || !cols))
      limits.rows /= 2;
    else
      limits.cols /= 2;
  }
}
