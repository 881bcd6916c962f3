/** \file attn_real.c
 *  Causal grouped-query attention in tiles (FlashAttention, Dao et al. 2022).
 *  Scores exist only as one tile [BQ queries, BK keys] of one head.  The
 *  backward pass recomputes them from the saved log-sum-exp.
 *
 *  In the backward pass a thread processes one (sequence, kv head) with all its
 *  query heads, so dk and dv have a single writer and a fixed order of
 *  summation. */
#include "kernels/cpu/gemm.h"
#include "kernels/cpu/real.h"
#include "kernels/cpu/table_cpu.h"

#include <omp.h>

enum { BQ = 64, BK = 128 }; // size of a tile: queries, keys
_Static_assert((2 * BQ * BK + 2 * BQ) * sizeof(real) <= K_THREAD_BYTES,
               "a thread's workspace is too small for attention");

/** A tile of one head: queries [q0, q0 + nq) x keys [k0, k0 + nk) of a
 *  sequence. */
typedef struct tile {
  int64_t q0, nq, k0, nk;
  int64_t shift;            // key position of query 0: t_k - t_q
  const int32_t *doc_start; // [t_q]
} tile;

/** Per-thread scratch memory: two tiles and two values per query. */
typedef struct scratch {
  real *s, *ds; // [BQ, BK]
  real *m, *l;  // [BQ] running maximum (backward: delta), running sum
} scratch;

static scratch scratch_of(k_ctx *ctx)
{
  real *at = (real *)((char *)ctx->workspace +
                      (size_t)omp_get_thread_num() * K_THREAD_BYTES);
  return (scratch){at, at + BQ * BK, at + 2 * BQ * BK, at + 2 * BQ * BK + BQ};
}

/** Columns of head \a h in rows [r0, r0 + n) of a view [N, heads * hd]. */
static rt_view head_of(const rt_view *x, int64_t r0, int64_t n, int64_t h,
                       int64_t hd)
{
  return rt_view_cols(rt_view_rows(*x, r0, n), h * hd, hd);
}

static rt_view tile_view(real *data, const tile *t)
{
  rt_view v = rt_view_of(data, K_DTYPE, t->nq, t->nk);
  v.ld = BK;
  return v;
}

static int64_t min_i64(int64_t a, int64_t b)
{
  return a < b ? a : b;
}

/** The range [from, to) of keys in the tile that query \a i attends to. */
static void visible_keys(const tile *t, int64_t i, int64_t *from, int64_t *to)
{
  const int64_t end = t->q0 + i + t->shift + 1 - t->k0;
  const int64_t start = t->doc_start[t->q0 + i] - t->k0;
  *to = end < 0 ? 0 : min_i64(end, t->nk);
  *from = start < 0 ? 0 : min_i64(start, *to);
}

/** Does any query of the tile attend to any of its keys? */
static bool is_visible(const tile *t)
{
  for (int64_t i = 0; i < t->nq; i++) {
    int64_t from, to;
    visible_keys(t, i, &from, &to);
    if (from < to)
      return true;
  }
  return false;
}

/** Add one tile of scores to the running maximum, sum and output. */
static void online_softmax(const tile *t, scratch *w, rt_view o)
{
  for (int64_t i = 0; i < t->nq; i++) {
    real *s = w->s + i * BK;
    int64_t from, to;
    visible_keys(t, i, &from, &to);
    const real tile_max = k_max(s + from, to - from);
    const real top = tile_max > w->m[i] ? tile_max : w->m[i];
    const real rescale = from < to ? k_exp(w->m[i] - top) : 1;
    real sum = 0;
    for (int64_t j = 0; j < from; j++)
      s[j] = 0;
#pragma omp simd reduction(+ : sum)
    for (int64_t j = from; j < to; j++) {
      s[j] = k_exp(s[j] - top);
      sum += s[j];
    }
    for (int64_t j = to; j < t->nk; j++)
      s[j] = 0;
    w->l[i] = w->l[i] * rescale + sum;
    w->m[i] = top;
    real *out = k_row_of(&o, i);
    for (int64_t c = 0; c < o.cols; c++)
      out[c] *= rescale;
  }
}

static void forward_block(const k_attn_fwd_args *a, scratch *w, int64_t b,
                          int64_t h, tile t)
{
  const int64_t hd = a->head_dim, g = h / (a->n_heads / a->n_kv_heads);
  const rt_view q = head_of(&a->q, b * a->t_q + t.q0, t.nq, h, hd);
  const rt_view o = head_of(&a->o, b * a->t_q + t.q0, t.nq, h, hd);
  for (int64_t i = 0; i < t.nq; i++) {
    w->m[i] = (real)-1e30;
    w->l[i] = 0;
    memset(k_row_of(&o, i), 0, (size_t)hd * sizeof(real));
  }
  const int64_t end = min_i64(t.q0 + t.nq + t.shift, a->t_k);
  for (t.k0 = 0; t.k0 < end; t.k0 += BK) {
    t.nk = min_i64(BK, end - t.k0);
    if (!is_visible(&t))
      continue;
    const rt_view s = tile_view(w->s, &t);
    k_gemm_inside(
        &(k_gemm_args){.a = q,
                       .b = head_of(&a->k, b * a->t_k + t.k0, t.nk, g, hd),
                       .c = s,
                       .trans_b = true,
                       .alpha = a->scale});
    online_softmax(&t, w, o);
    k_gemm_inside(
        &(k_gemm_args){.a = s,
                       .b = head_of(&a->v, b * a->t_k + t.k0, t.nk, g, hd),
                       .c = o,
                       .alpha = 1.0,
                       .beta = 1.0});
  }
  for (int64_t i = 0; i < t.nq; i++) {
    const real inverse = 1 / w->l[i];
    real *out = k_row_of(&o, i);
    for (int64_t c = 0; c < hd; c++)
      out[c] *= inverse;
    k_row_of(&a->lse, b * a->t_q + t.q0 + i)[h] =
        w->m[i] + (real)log((double)w->l[i]);
  }
}

K_KERNEL(k_attn_fwd_cpu_f32, k_attn_fwd_cpu_f64)
{
  const k_attn_fwd_args *a = args;
  const int64_t n_blocks = (a->t_q + BQ - 1) / BQ;
  // BLAS does not detect a parallel region that has only one thread
  omp_set_num_threads(ctx->n_threads);
  // heads and blocks of queries are independent; start with the longest
  K_PARALLEL_FOR_DYNAMIC
  for (int64_t i = 0; i < a->batch * a->n_heads * n_blocks; i++) {
    const int64_t block = n_blocks - 1 - i / (a->batch * a->n_heads);
    const int64_t bh = i % (a->batch * a->n_heads), b = bh / a->n_heads;
    scratch w = scratch_of(ctx);
    forward_block(
        a, &w, b, bh % a->n_heads,
        (tile){.q0 = block * BQ,
               .nq = min_i64(BQ, a->t_q - block * BQ),
               .shift = a->t_k - a->t_q,
               .doc_start = (const int32_t *)a->doc_start.data + b * a->t_q});
  }
}

/** delta_i = scale sum_c do_ic o_ic (= sum_j p_ij dp_ij). */
static void make_delta(rt_view o, rt_view d_o, double scale, real *delta)
{
  for (int64_t i = 0; i < o.rows; i++) {
    const real *x = k_row_of(&o, i), *y = k_row_of(&d_o, i);
    real sum = 0;
#pragma omp simd reduction(+ : sum)
    for (int64_t c = 0; c < o.cols; c++)
      sum += x[c] * y[c];
    delta[i] = (real)scale * sum;
  }
}

/** In place: scores s become probabilities p; scaled dp in ds becomes p (dp -
 *  delta). */
static void softmax_backward(const tile *t, scratch *w, const rt_view *lse,
                             int64_t row0, int64_t h)
{
  for (int64_t i = 0; i < t->nq; i++) {
    real *s = w->s + i * BK, *ds = w->ds + i * BK;
    const real z = k_row_of(lse, row0 + i)[h], delta = w->m[i];
    int64_t from, to;
    visible_keys(t, i, &from, &to);
    for (int64_t j = 0; j < from; j++)
      s[j] = ds[j] = 0;
#pragma omp simd
    for (int64_t j = from; j < to; j++) {
      s[j] = k_exp(s[j] - z);
      ds[j] = s[j] * (ds[j] - delta);
    }
    for (int64_t j = to; j < t->nk; j++)
      s[j] = ds[j] = 0;
  }
}

/** One block of queries of one head against all keys it attends to. */
static void backward_block(const k_attn_bwd_args *a, scratch *w, int64_t b,
                           int64_t h, tile t)
{
  const int64_t hd = a->head_dim, g = h / (a->n_heads / a->n_kv_heads);
  const int64_t row0 = b * a->t_q + t.q0;
  const rt_view q = head_of(&a->q, row0, t.nq, h, hd);
  const rt_view d_o = head_of(&a->d_o, row0, t.nq, h, hd);
  const rt_view dq = head_of(&a->dq, row0, t.nq, h, hd);
  make_delta(head_of(&a->o, row0, t.nq, h, hd), d_o, a->scale, w->m);
  const int64_t end = min_i64(t.q0 + t.nq + t.shift, a->t_k);
  for (t.k0 = 0; t.k0 < end; t.k0 += BK) {
    t.nk = min_i64(BK, end - t.k0);
    if (!is_visible(&t))
      continue;
    const int64_t key0 = b * a->t_k + t.k0;
    const rt_view k = head_of(&a->k, key0, t.nk, g, hd);
    const rt_view v = head_of(&a->v, key0, t.nk, g, hd);
    const rt_view p = tile_view(w->s, &t), ds = tile_view(w->ds, &t);
    k_gemm_inside(&(k_gemm_args){
        .a = q, .b = k, .c = p, .trans_b = true, .alpha = a->scale});
    k_gemm_inside(&(k_gemm_args){
        .a = d_o, .b = v, .c = ds, .trans_b = true, .alpha = a->scale});
    softmax_backward(&t, w, &a->lse, row0, h);
    k_gemm_inside(&(k_gemm_args){.a = p,
                                 .b = d_o,
                                 .c = head_of(&a->dv, key0, t.nk, g, hd),
                                 .trans_a = true,
                                 .alpha = 1.0,
                                 .beta = 1.0});
    k_gemm_inside(&(k_gemm_args){.a = ds,
                                 .b = q,
                                 .c = head_of(&a->dk, key0, t.nk, g, hd),
                                 .trans_a = true,
                                 .alpha = 1.0,
                                 .beta = 1.0});
    k_gemm_inside(
        &(k_gemm_args){.a = ds, .b = k, .c = dq, .alpha = 1.0, .beta = 1.0});
  }
}

static void clear_head(const rt_view *x, int64_t r0, int64_t n, int64_t h,
                       int64_t hd)
{
  const rt_view v = head_of(x, r0, n, h, hd);
  for (int64_t i = 0; i < n; i++)
    memset(k_row_of(&v, i), 0, (size_t)hd * sizeof(real));
}

static void backward_kv_head(const k_attn_bwd_args *a, scratch *w, int64_t b,
                             int64_t g)
{
  const int64_t hd = a->head_dim, group = a->n_heads / a->n_kv_heads;
  clear_head(&a->dk, b * a->t_k, a->t_k, g, hd);
  clear_head(&a->dv, b * a->t_k, a->t_k, g, hd);
  for (int64_t h = g * group; h < (g + 1) * group; h++) {
    clear_head(&a->dq, b * a->t_q, a->t_q, h, hd);
    for (int64_t q0 = 0; q0 < a->t_q; q0 += BQ)
      backward_block(
          a, w, b, h,
          (tile){.q0 = q0,
                 .nq = min_i64(BQ, a->t_q - q0),
                 .shift = a->t_k - a->t_q,
                 .doc_start = (const int32_t *)a->doc_start.data + b * a->t_q});
  }
}

K_KERNEL(k_attn_bwd_cpu_f32, k_attn_bwd_cpu_f64)
{
  const k_attn_bwd_args *a = args;
  omp_set_num_threads(ctx->n_threads);
  K_PARALLEL_FOR_DYNAMIC
  for (int64_t i = 0; i < a->batch * a->n_kv_heads; i++) {
    scratch w = scratch_of(ctx);
    backward_kv_head(a, &w, i / a->n_kv_heads, i % a->n_kv_heads);
  }
}
