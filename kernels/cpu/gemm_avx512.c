/** \file gemm_avx512.c
 *  Products of f32 by AVX-512.
 *
 *  C is divided into pieces, which threads take in turn.  For each piece, a
 *  block of B becomes panels of 32 columns in this thread's workspace, which
 *  its second cache holds, and strips of up to 14 rows of A meet all of them:
 *  28 registers hold a tile of C.  A strip is copied if its rows would meet in
 *  the same lines of the first cache.
 *  Each element of C is a sum in the order of its terms, in parts whose length
 *  depends on their number only, so that its bits depend neither on the
 *  division nor on its place in C. */
#include "kernels/cpu/gemm.h"
#include "kernels/cpu/gemm_pieces.h"

#include <omp.h>

/** Numbers of a register; rows and columns of a tile. */
enum { VECTOR = 16, STRIP = 14, PANEL = 2 * VECTOR };
/** Numbers of a page. */
enum { PAGE = 1024 };
/** Most of a piece: rows, columns, and terms at a time, fewer in long sums; and
 *  the least. */
enum { ROWS = 1024, COLS = 512, TERMS = 576, OF_LONG = 384, LEAST = 128 };

/** Parts of a thread's workspace. */
typedef struct scratch {
  float *a; // [TERMS, VECTOR], of which STRIP are used
  float *b; // panels [TERMS, PANEL]
} scratch;

enum {
  A_BYTES = TERMS * VECTOR * sizeof(float),
  B_BYTES = TERMS * COLS * sizeof(float),
  THREAD_BYTES = A_BYTES + B_BYTES
};

size_t k_gemm_avx512_bytes(const k_ctx *ctx)
{
  return (size_t)ctx->n_threads * THREAD_BYTES;
}

#ifdef __x86_64__

#include "kernels/cpu/transpose.h"
#include <stdlib.h>
#include <strings.h>

#define AVX512 __attribute__((target("avx512f,avx512bw,avx512dq,avx512vl,fma")))
#define INLINE AVX512 __attribute__((always_inline)) static inline
/** The variable that limits OpenBLAS to older processors limits these, too. */
static bool is_allowed(void)
{
  static const char *const cores[] = {"SkylakeX", "Cooperlake",
                                      "SapphireRapids"};
  const char *const core = getenv("OPENBLAS_CORETYPE");
  for (size_t i = 0; core != NULL && i < sizeof cores / sizeof cores[0]; i++)
    if (strcasecmp(core, cores[i]) == 0)
      return true;
  return core == NULL;
}

bool k_gemm_has_avx512(void)
{
  __builtin_cpu_init();
  return k_gemm_is_openblas() && is_allowed() &&
         __builtin_cpu_supports("avx512f") &&
         __builtin_cpu_supports("avx512bw") &&
         __builtin_cpu_supports("avx512dq") &&
         __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("fma");
}

/** A tile of C and its factors: rows of A, or a packed strip, and columns of
 *  B, or a panel. */
typedef struct tile {
  const float *a, *b;
  int64_t a_row, a_term, b_term; // steps to the next row or term
  float *c;
  int64_t ldc;
  int64_t n, k; // columns, terms
  float alpha, beta;
} tile;

/** The first \a n of a register's numbers. */
AVX512 static __mmask16 first(int64_t n)
{
  return (__mmask16)(n >= VECTOR ? 0xffff : n <= 0 ? 0 : (1U << n) - 1);
}

/** c = alpha s + beta c */
INLINE void put(const tile *t, float *c, __mmask16 mask, __m512 s)
{
  __m512 y = _mm512_mul_ps(_mm512_set1_ps(t->alpha), s);
  if (t->beta != 0.0F)
    y = _mm512_fmadd_ps(_mm512_set1_ps(t->beta), _mm512_maskz_loadu_ps(mask, c),
                        y);
  _mm512_mask_storeu_ps(c, mask, y);
}

/** \a rows is known when it is compiled. */
INLINE void multiply_rows(const tile *t, const int rows)
{
  const __mmask16 left = first(t->n), right = first(t->n - VECTOR);
  const float *a = t->a, *b = t->b;
  __m512 s[STRIP][2];
  K_UNROLL
  for (int r = 0; r < rows; r++) {
    s[r][0] = s[r][1] = _mm512_setzero_ps();
    _mm_prefetch((const char *)(t->c + r * t->ldc), _MM_HINT_T0);
    _mm_prefetch((const char *)(t->c + r * t->ldc + VECTOR), _MM_HINT_T0);
  }
  for (int64_t l = 0; l < t->k; l++, a += t->a_term, b += t->b_term) {
    const __m512 b0 = _mm512_maskz_loadu_ps(left, b);
    const __m512 b1 = _mm512_maskz_loadu_ps(right, b + VECTOR);
    _mm_prefetch((const char *)(b + 8 * t->b_term), _MM_HINT_T0);
    _mm_prefetch((const char *)(b + 8 * t->b_term + VECTOR), _MM_HINT_T0);
    K_UNROLL
    for (int r = 0; r < rows; r++) {
      const __m512 x = _mm512_set1_ps(a[r * t->a_row]);
      s[r][0] = _mm512_fmadd_ps(x, b0, s[r][0]);
      s[r][1] = _mm512_fmadd_ps(x, b1, s[r][1]);
    }
  }
  K_UNROLL
  for (int r = 0; r < rows; r++) {
    put(t, t->c + r * t->ldc, left, s[r][0]);
    put(t, t->c + r * t->ldc + VECTOR, right, s[r][1]);
  }
}

AVX512 static void multiply(const tile *t, int64_t rows)
{
#define CASE(n)                                                                \
  case n:                                                                      \
    multiply_rows(t, n);                                                       \
    break
  switch (rows) {
    CASE(14);
    CASE(13);
    CASE(12);
    CASE(11);
    CASE(10);
    CASE(9);
    CASE(8);
    CASE(7);
    CASE(6);
    CASE(5);
    CASE(4);
    CASE(3);
    CASE(2);
    CASE(1);
  default:
    RT_ASSERT(rows == 0);
  }
#undef CASE
}

static inline const float *at_of(const rt_view *x, int64_t r, int64_t c)
{
  return (const float *)x->data + r * x->ld + c;
}

/** The factor's row \a r, 16 numbers from \a c on; zeros beyond the view. */
INLINE __m512i load(const rt_view *x, int64_t r, int64_t c)
{
  return r < x->rows
             ? _mm512_maskz_loadu_epi32(first(x->cols - c), at_of(x, r, c))
             : _mm512_setzero_si512();
}

/** Columns of \a x as rows, each \a step from the one before, of multiples of
 *  VECTOR. */
AVX512 static void pack_across(rt_view x, int64_t step, float *to)
{
  for (int64_t j = 0; j < x.rows; j += VECTOR)
    for (int64_t l = 0; l < x.cols; l += VECTOR) {
      __m512i r[VECTOR];
      K_UNROLL
      for (int i = 0; i < VECTOR; i++) {
        r[i] = load(&x, j + i, l);
        _mm_prefetch((const char *)(at_of(&x, j + i + VECTOR, l)), _MM_HINT_T1);
      }
      k_transpose(r);
      K_UNROLL
      for (int i = 0; i < VECTOR; i++)
        if (l + i < x.cols)
          _mm512_storeu_si512(to + (l + i) * step + j, r[i]);
    }
}

/** Rows of a strip as they are, each VECTOR from the one before.  Those of the
 *  next strip, which lie far from each other, come near meanwhile. */
AVX512 static void pack_along(rt_view x, float *to)
{
  const __mmask16 mask = first(x.cols);
  for (int64_t r = 0; r < x.rows; r++) {
    const float *const at = at_of(&x, r, 0);
    _mm512_mask_storeu_ps(to + r * VECTOR, mask,
                          _mm512_maskz_loadu_ps(mask, at));
    _mm_prefetch((const char *)(at + 2 * x.cols - 1), _MM_HINT_T1);
  }
}

static int64_t smaller(int64_t a, int64_t b)
{
  return a < b ? a : b;
}

/** A piece of C, and a part of its sums. */
typedef struct piece {
  int64_t row, rows, col, cols, term, terms;
} piece;

/** The piece's part of op(B) as panels. */
AVX512 static void pack_b(const k_gemm_args *g, const piece *p, float *to)
{
  if (g->trans_b)
    for (int64_t j = 0; j < p->cols; j += PANEL)
      pack_across(rt_view_cols(rt_view_rows(g->b, p->col + j,
                                            smaller(PANEL, p->cols - j)),
                               p->term, p->terms),
                  PANEL, to + j * p->terms);
  else // whole rows, as they come from memory
    for (int64_t l = 0; l < p->terms; l++, to += PANEL) {
      const float *const b =
          (const float *)g->b.data + (p->term + l) * g->b.ld + p->col;
      for (int64_t c = 0; c < p->cols; c += VECTOR)
        _mm512_storeu_ps(to + c / PANEL * PANEL * p->terms + c % PANEL,
                         _mm512_maskz_loadu_ps(first(p->cols - c), b + c));
    }
}

/** The piece's terms of \a n rows of op(A), as they lie in A. */
static rt_view rows_of_a(const k_gemm_args *g, const piece *p, int64_t row,
                         int64_t n)
{
  return g->trans_a
             ? rt_view_cols(rt_view_rows(g->a, p->term, p->terms), row, n)
             : rt_view_cols(rt_view_rows(g->a, row, n), p->term, p->terms);
}

static tile tile_of(const k_gemm_args *g, const piece *p)
{
  return (tile){.ldc = g->c.ld,
                .k = p->terms,
                .alpha = (float)g->alpha,
                .beta = p->term > 0 ? 1.0F : (float)g->beta};
}

static float *c_at(const k_gemm_args *g, int64_t row, int64_t col)
{
  return (float *)g->c.data + row * g->c.ld + col;
}

/** Rows of the next strip if \a n are left: strips differ by one at most. */
static int64_t strip_of(int64_t n)
{
  const int64_t n_strips = (n + STRIP - 1) / STRIP;
  return (n + n_strips - 1) / n_strips;
}

/** May rows of A be read in place?  Not if a row begins where the one before
 *  does in a page, so that the first cache cannot hold a strip. */
static bool is_in_place(const k_gemm_args *g)
{
  return !g->trans_a && g->a.ld % PAGE != 0;
}

/** The left factor of \a n rows of C from row \a r of the piece on. */
static void set_strip(const k_gemm_args *g, const piece *p, const scratch *s,
                      const int64_t at[2], tile *t)
{
  const rt_view rows = rows_of_a(g, p, p->row + at[0], at[1]);
  t->a_row = 1;
  t->a_term = VECTOR;
  t->a = s->a;
  if (is_in_place(g)) {
    t->a_row = rows.ld;
    t->a_term = 1;
    t->a = rows.data;
  } else if (g->trans_a)
    pack_along(rows, s->a);
  else
    pack_across(rows, VECTOR, s->a);
}

static void multiply_piece(const k_gemm_args *g, const piece *p,
                           const scratch *s)
{
  tile t = tile_of(g, p);
  t.b_term = PANEL;
  pack_b(g, p, s->b);
  for (int64_t r = 0, n; r < p->rows; r += n) {
    n = strip_of(p->rows - r);
    set_strip(g, p, s, (int64_t[]){r, n}, &t);
    for (int64_t j = 0; j < p->cols; j += PANEL) {
      t.b = s->b + j * p->terms;
      t.c = c_at(g, p->row + r, p->col + j);
      t.n = smaller(PANEL, p->cols - j);
      multiply(&t, n);
    }
  }
}

/** How C and the sums are divided. */
typedef struct division {
  k_gemm_pieces of_c;
  int64_t terms, depth; // of a sum; at a time
} division;

static division divide(const k_gemm_args *g, int n_threads)
{
  const k_gemm_limits limits = {.rows = ROWS,
                                .cols = COLS,
                                .row_step = 1,
                                .col_step = PANEL,
                                .least = LEAST};
  const int64_t terms = g->trans_a ? g->a.rows : g->a.cols;
  return (division){.of_c = k_gemm_divide(g, limits, n_threads),
                    .terms = terms,
                    .depth = terms <= TERMS ? terms
                                            : k_gemm_part(terms, OF_LONG, 1)};
}

/** Piece number \a i, part after part. */
static void run_piece(k_ctx *ctx, const k_gemm_args *g, const division *d,
                      int64_t i)
{
  float *const at =
      (float *)ctx->workspace +
      (size_t)omp_get_thread_num() * (THREAD_BYTES / sizeof(float));
  const scratch s = {.a = at + B_BYTES / sizeof(float), .b = at};
  const k_gemm_pieces *const c = &d->of_c;
  const int64_t row = i % c->n_rows * c->rows, col = i / c->n_rows * c->cols;
  for (int64_t l = 0; l < d->terms; l += d->depth)
    multiply_piece(g,
                   &(piece){.row = row,
                            .rows = smaller(c->rows, g->c.rows - row),
                            .col = col,
                            .cols = smaller(c->cols, g->c.cols - col),
                            .term = l,
                            .terms = smaller(d->depth, d->terms - l)},
                   &s);
}

void k_gemm_avx512(k_ctx *ctx, const k_gemm_args *g)
{
  const division d = divide(g, ctx->n_threads);
  const int64_t n = d.of_c.n_rows * d.of_c.n_cols;
#pragma omp parallel for num_threads(ctx->n_threads)                           \
    schedule(dynamic) if (n > 1)
  for (int64_t i = 0; i < n; i++)
    run_piece(ctx, g, &d, i);
}

/** Columns of one panel, in place or, if B is transposed, in a copy. */
static void multiply_panel(const k_gemm_args *g, const piece *p, float *panel)
{
  tile t = tile_of(g, p);
  t.b = (const float *)g->b.data + p->term * g->b.ld + p->col;
  t.b_term = g->b.ld;
  t.n = p->cols;
  t.a_row = g->trans_a ? 1 : g->a.ld;
  t.a_term = g->trans_a ? g->a.ld : 1;
  if (g->trans_b) {
    pack_b(g, p, panel);
    t.b = panel;
    t.b_term = PANEL;
  }
  for (int64_t r = 0, n; r < p->rows; r += n) {
    n = strip_of(p->rows - r);
    t.a = rows_of_a(g, p, r, n).data;
    t.c = c_at(g, r, p->col);
    multiply(&t, n);
  }
}

void k_gemm_avx512_inside(const k_gemm_args *g)
{
  enum { DEPTH = 256 };
  _Alignas(64) float panel[DEPTH * PANEL];
  const int64_t terms = g->trans_a ? g->a.rows : g->a.cols;
  for (int64_t l = 0; l < terms; l += DEPTH)
    for (int64_t j = 0; j < g->c.cols; j += PANEL)
      multiply_panel(g,
                     &(piece){.rows = g->c.rows,
                              .col = j,
                              .cols = smaller(PANEL, g->c.cols - j),
                              .term = l,
                              .terms = smaller(DEPTH, terms - l)},
                     panel);
}

#else

bool k_gemm_has_avx512(void)
{
  return false;
}

void k_gemm_avx512(k_ctx *ctx, const k_gemm_args *args)
{
  (void)ctx;
  k_gemm_blas(args);
}

void k_gemm_avx512_inside(const k_gemm_args *args)
{
  k_gemm_blas(args);
}
#endif
