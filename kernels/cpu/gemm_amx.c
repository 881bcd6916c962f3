/** \file gemm_amx.c
 *  The gemm kernel in bf16 by AMX.
 *
 *  C is divided into pieces, which threads take in turn.  For each piece,
 * blocks of B become tiles in this thread's workspace, which its second cache
 * holds, and 32 rows of A after the other meet all of them; A is read in place
 * unless it is transposed.  The division depends on sizes and the number of
 * threads only, and each element of C is summed in the same order by any
 * division. */
#include "kernels/cpu/amx.h"
#include "kernels/cpu/gemm.h"
#include "kernels/cpu/gemm_pieces.h"
#include "kernels/cpu/real.h"

#include "base/split.h"
#include <omp.h>

/** Most of a piece: rows, columns, and terms at a time; and the least. */
enum { ROWS = 512, COLS = 512, TERMS = 1024, LEAST = 128, STEP = K_AMX_STEP };

/** Parts of a thread's workspace. */
typedef struct scratch {
  float *sums; // [ROWS, COLS]
  rt_bf16 *a;  // [STEP, TERMS]
  uint32_t *b; // tiles of [TERMS, COLS]
} scratch;

enum {
  SUM_BYTES = ROWS * COLS * sizeof(float),
  A_BYTES = STEP * TERMS * sizeof(rt_bf16),
  B_BYTES = TERMS * COLS * sizeof(rt_bf16),
  THREAD_BYTES = SUM_BYTES + A_BYTES + B_BYTES
};

size_t k_gemm_amx_bytes(const k_ctx *ctx)
{
  return (size_t)ctx->n_threads * THREAD_BYTES;
}

static scratch scratch_of(const k_ctx *ctx)
{
  char *const at =
      (char *)ctx->workspace + (size_t)omp_get_thread_num() * THREAD_BYTES;
  return (scratch){.sums = (float *)at,
                   .a = (rt_bf16 *)(at + SUM_BYTES),
                   .b = (uint32_t *)(at + SUM_BYTES + A_BYTES)};
}

/** How C and the sums are divided. */
typedef struct division {
  k_gemm_pieces of_c;
  int64_t terms, depth; // of a sum; at a time
  bool direct;          // sums are made in C
} division;

static division divide(const k_gemm_args *g, int n_threads)
{
  const k_gemm_limits limits = {.rows = ROWS,
                                .cols = COLS,
                                .row_step = STEP,
                                .col_step = STEP,
                                .least = LEAST};
  const int64_t terms = g->trans_a ? g->a.rows : g->a.cols;
  return (division){.of_c = k_gemm_divide(g, limits, n_threads),
                    .terms = terms,
                    .depth = k_gemm_part(terms, TERMS, STEP),
                    .direct = g->c.dtype == RT_F32 && g->alpha == 1.0 &&
                              (g->beta == 0.0 || g->beta == 1.0) &&
                              g->c.rows % STEP == 0 && g->c.cols % STEP == 0};
}

/** A piece of C. */
typedef struct piece {
  int64_t row, rows, col, cols; // without padding
  int64_t cols_padded;
} piece;

static int64_t smaller(int64_t a, int64_t b)
{
  return a < b ? a : b;
}

static int64_t padded(int64_t n)
{
  return rt_round_up(n, STEP);
}

/** Terms [k0, k0 + k) of \a n columns of op(B) from \a col on, as tiles. */
static k_amx_factor pack_b(const k_gemm_args *g, const scratch *t,
                           const piece *p, int64_t k0, int64_t k)
{
  const k_amx_factor f = {t->b, 1, padded(k) / STEP};
  if (g->trans_b)
    k_amx_pack_across(rt_view_cols(rt_view_rows(g->b, p->col, p->cols), k0, k),
                      &f, padded(k), p->cols_padded);
  else
    k_amx_pack_along(rt_view_cols(rt_view_rows(g->b, k0, k), p->col, p->cols),
                     &f, padded(k), p->cols_padded);
  return f;
}

/** STEP rows of op(A), of which \a n are there: in place, or a copy with zeros
 *  beyond. */
static const rt_bf16 *rows_of_a(const k_gemm_args *g, const scratch *t,
                                const int64_t at[2], const int64_t size[2],
                                int64_t *ld)
{
  const int64_t n = size[0], k = size[1];
  if (!g->trans_a && n == STEP && k % STEP == 0) {
    *ld = g->a.ld;
    return (const rt_bf16 *)g->a.data + at[0] * g->a.ld + at[1];
  }
  *ld = padded(k);
  if (g->trans_a) {
    k_amx_transpose(rt_view_cols(rt_view_rows(g->a, at[1], k), at[0], n), t->a,
                    *ld, STEP);
    return t->a;
  }
  for (int64_t r = 0; r < STEP; r++) {
    rt_bf16 *const to = t->a + r * *ld;
    const int64_t there = r < n ? k : 0;
    if (there > 0)
      memcpy(to, (const rt_bf16 *)g->a.data + (at[0] + r) * g->a.ld + at[1],
             (size_t)there * sizeof *to);
    memset(to + there, 0, (size_t)(*ld - there) * sizeof *to);
  }
  return t->a;
}

/** C = alpha sums + beta C for \a n rows from \a row of the piece on. */
static void put_sums(const k_gemm_args *g, const piece *p, const float *sums,
                     int64_t row, int64_t n)
{
  const size_t size = rt_dtype_size(g->c.dtype);
  for (int64_t r = 0; r < n; r++) {
    const int64_t at = (p->row + row + r) * g->c.ld + p->col;
    void *const c = (char *)g->c.data + (size_t)at * size;
    const float *s = sums + r * p->cols_padded;
    if (g->c.dtype == RT_F32)
      k_amx_put_f32(s, p->cols, (float)g->alpha, (float)g->beta, c);
    else
      k_amx_put_bf16(s, p->cols, (float)g->alpha, (float)g->beta, c);
  }
}

static void multiply_piece(const k_gemm_args *g, const division *d,
                           const scratch *t, const piece *p)
{
  const bool once = d->depth >= d->terms;
  for (int64_t k0 = 0; k0 < d->terms; k0 += d->depth) {
    const int64_t k = smaller(d->depth, d->terms - k0);
    const k_amx_factor b = pack_b(g, t, p, k0, k);
    for (int64_t r = 0; r < p->rows; r += STEP) {
      const int64_t n = smaller(STEP, p->rows - r);
      float *const sums = t->sums + (once ? 0 : r * p->cols_padded);
      float *const c = (float *)g->c.data + (p->row + r) * g->c.ld + p->col;
      int64_t lda;
      const rt_bf16 *a =
          rows_of_a(g, t, (int64_t[]){p->row + r, k0}, (int64_t[]){n, k}, &lda);
      k_amx_multiply(
          (k_amx_product){.a = a,
                          .lda = lda,
                          .b = b,
                          .c = d->direct ? c : sums,
                          .ldc = d->direct ? g->c.ld : p->cols_padded,
                          .m = STEP,
                          .n = p->cols_padded,
                          .k = padded(k),
                          .add = k0 > 0 || (d->direct && g->beta != 0.0)});
      if (!d->direct && k0 + k == d->terms)
        put_sums(g, p, sums, r, n);
    }
  }
}

void k_gemm_amx(k_ctx *ctx, const k_gemm_args *g)
{
  const division d = divide(g, ctx->n_threads);
  const k_gemm_pieces c = d.of_c;
#pragma omp parallel num_threads(ctx->n_threads)
  {
    const scratch t = scratch_of(ctx);
    k_amx_start();
#pragma omp for schedule(dynamic)
    for (int64_t i = 0; i < c.n_rows * c.n_cols; i++) {
      const int64_t row = i % c.n_rows * c.rows, col = i / c.n_rows * c.cols;
      const int64_t cols = smaller(c.cols, g->c.cols - col);
      multiply_piece(g, &d, &t,
                     &(piece){.row = row,
                              .rows = smaller(c.rows, g->c.rows - row),
                              .col = col,
                              .cols = cols,
                              .cols_padded = padded(cols)});
    }
    k_amx_end();
  }
}
