/** \file attn_real.c
 *  Causal grouped-query attention in tiles (FlashAttention, Dao et al. 2022).
 *  Scores exist only as one tile [BQ queries, BK keys] of one head.  The
 *  backward pass recomputes them from the saved log-sum-exp.
 *
 *  dk and dv of a pair (sequence, kv head) are sums over the blocks of queries
 *  of all its query heads, in this order.  In the backward pass, one thread
 *  computes a whole pair as long as there is a pair for every thread.  The
 *  remaining pairs are divided among the threads by blocks of queries, which
 *  take turns to add to a block of keys.  The bits thus do not depend on the
 *  number of threads. */
#include "kernels/cpu/gemm.h"
#include "kernels/cpu/real.h"
#include "kernels/cpu/table_cpu.h"

#include <omp.h>
#include <sched.h>
#include <stdatomic.h>

enum { BQ = 64, BK = 128 }; // size of a tile: queries, keys
#define SCRATCH_BYTES ((2 * BQ * BK + 2 * BQ) * sizeof(real))
// what remains of a thread's workspace counts the turns of one pair
#define MAX_TURNS ((K_THREAD_BYTES - SCRATCH_BYTES) / sizeof(atomic_int))
_Static_assert(SCRATCH_BYTES < K_THREAD_BYTES,
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

/** Turns of the blocks of queries of one pair: how many have added to each
 * block of keys.  NULL: one thread computes all of them in order. */
typedef struct turns {
  atomic_int *n_added; // [blocks of keys]
  int64_t n_q;         // blocks of queries of a head
  int64_t mine;        // this block of queries, counted over the pair's heads
} turns;

/** The number of the pair's blocks of queries that add to the keys of the tile
 *  before this one.  In each head those that end before the keys do not. */
static int turn_of(const turns *w, const tile *t)
{
  const int64_t first = t->k0 > t->shift ? (t->k0 - t->shift) / BQ : 0;
  return (int)(w->mine / w->n_q * (w->n_q - first) + w->mine % w->n_q - first);
}

/** Blocks of queries compute their scores before, and follow each other from
 *  key block to key block, so this is rarely long. */
static void wait_for_turn(const turns *w, const tile *t)
{
  if (w->n_added == NULL)
    return;
  const atomic_int *const n = &w->n_added[t->k0 / BK];
  const int turn = turn_of(w, t);
  for (int i = 0; atomic_load_explicit(n, memory_order_acquire) != turn; i++)
    if (i > 1000) // there may be fewer cores than threads
      sched_yield();
}

static void pass_turn(const turns *w, const tile *t)
{
  if (w->n_added != NULL)
    atomic_fetch_add_explicit(&w->n_added[t->k0 / BK], 1, memory_order_release);
}

/** A block of queries of one head in the backward pass. */
typedef struct block {
  int64_t b, h, g;    // sequence, head, kv head
  rt_view q, d_o, dq; // [queries, head_dim]
  turns turns;
} block;

static void clear(rt_view v)
{
  for (int64_t i = 0; i < v.rows; i++)
    memset(k_row_of(&v, i), 0, (size_t)v.cols * sizeof(real));
}

/** Probabilities and their gradient in w->s and w->ds. */
static void make_scores(const k_attn_bwd_args *a, scratch *w, const block *x,
                        const tile *t)
{
  const int64_t key0 = x->b * a->t_k + t->k0, hd = a->head_dim;
  k_gemm_inside(&(k_gemm_args){.a = x->q,
                               .b = head_of(&a->k, key0, t->nk, x->g, hd),
                               .c = tile_view(w->s, t),
                               .trans_b = true,
                               .alpha = a->scale});
  k_gemm_inside(&(k_gemm_args){.a = x->d_o,
                               .b = head_of(&a->v, key0, t->nk, x->g, hd),
                               .c = tile_view(w->ds, t),
                               .trans_b = true,
                               .alpha = a->scale});
  softmax_backward(t, w, &a->lse, x->b * a->t_q + t->q0, x->h);
}

static void add_to_keys(const k_attn_bwd_args *a, const scratch *w,
                        const block *x, const tile *t)
{
  const int64_t key0 = x->b * a->t_k + t->k0, hd = a->head_dim;
  k_gemm_inside(&(k_gemm_args){.a = tile_view(w->s, t),
                               .b = x->d_o,
                               .c = head_of(&a->dv, key0, t->nk, x->g, hd),
                               .trans_a = true,
                               .alpha = 1.0,
                               .beta = 1.0});
  k_gemm_inside(&(k_gemm_args){.a = tile_view(w->ds, t),
                               .b = x->q,
                               .c = head_of(&a->dk, key0, t->nk, x->g, hd),
                               .trans_a = true,
                               .alpha = 1.0,
                               .beta = 1.0});
}

/** The first block of queries to come sets dk and dv of these keys to 0. */
static void clear_keys(const k_attn_bwd_args *a, const block *x, const tile *t)
{
  const int64_t key0 = x->b * a->t_k + t->k0, hd = a->head_dim;
  const int64_t n = min_i64(BK, a->t_k - t->k0);
  clear(head_of(&a->dk, key0, n, x->g, hd));
  clear(head_of(&a->dv, key0, n, x->g, hd));
}

static void backward_tile(const k_attn_bwd_args *a, scratch *w, const block *x,
                          const tile *t)
{
  const bool visible = is_visible(t);
  if (visible)
    make_scores(a, w, x, t);
  wait_for_turn(&x->turns, t);
  if (turn_of(&x->turns, t) == 0)
    clear_keys(a, x, t);
  if (visible)
    add_to_keys(a, w, x, t);
  pass_turn(&x->turns, t);
  if (visible)
    k_gemm_inside(&(k_gemm_args){
        .a = tile_view(w->ds, t),
        .b = head_of(&a->k, x->b * a->t_k + t->k0, t->nk, x->g, a->head_dim),
        .c = x->dq,
        .alpha = 1.0,
        .beta = 1.0});
}

/** Block of queries number turn.mine of a pair against all keys it attends
 *  to. */
static void backward_block(const k_attn_bwd_args *a, scratch *w, int64_t pair,
                           turns turn)
{
  const int64_t hd = a->head_dim, group = a->n_heads / a->n_kv_heads;
  const int64_t b = pair / a->n_kv_heads, g = pair % a->n_kv_heads;
  const int64_t h = g * group + turn.mine / turn.n_q;
  tile t = {.q0 = turn.mine % turn.n_q * BQ,
            .shift = a->t_k - a->t_q,
            .doc_start = (const int32_t *)a->doc_start.data + b * a->t_q};
  t.nq = min_i64(BQ, a->t_q - t.q0);
  const int64_t row0 = b * a->t_q + t.q0;
  const block x = {.b = b,
                   .h = h,
                   .g = g,
                   .q = head_of(&a->q, row0, t.nq, h, hd),
                   .d_o = head_of(&a->d_o, row0, t.nq, h, hd),
                   .dq = head_of(&a->dq, row0, t.nq, h, hd),
                   .turns = turn};
  make_delta(head_of(&a->o, row0, t.nq, h, hd), x.d_o, a->scale, w->m);
  clear(x.dq);
  const int64_t end = min_i64(t.q0 + t.nq + t.shift, a->t_k);
  for (t.k0 = 0; t.k0 < end; t.k0 += BK) {
    t.nk = min_i64(BK, end - t.k0);
    backward_tile(a, w, &x, &t);
  }
}

/** The turns of shared pair number \a i, in the workspace of thread i. */
static atomic_int *turns_of(const k_ctx *ctx, int64_t i)
{
  return (atomic_int *)((char *)ctx->workspace + (size_t)i * K_THREAD_BYTES +
                        SCRATCH_BYTES);
}

/** How the threads divide the backward pass: first whole pairs, then blocks of
 *  queries of the others, which are taken in order.  The first block that is
 *  not complete thus never waits. */
typedef struct division {
  int64_t n_whole, n_shared; // pairs
  int64_t n_q, n_blocks;     // blocks of queries of a head, of a pair
} division;

static division divide(const k_attn_bwd_args *a, int n_threads)
{
  const int64_t n_pairs = a->batch * a->n_kv_heads;
  const int64_t n_q = (a->t_q + BQ - 1) / BQ;
  const bool can_share = a->t_k <= (int64_t)MAX_TURNS * BK;
  const int64_t n_shared = can_share ? n_pairs % n_threads : 0;
  return (division){.n_whole = n_pairs - n_shared,
                    .n_shared = n_shared,
                    .n_q = n_q,
                    .n_blocks = a->n_heads / a->n_kv_heads * n_q};
}

/** Piece of work number \a i. */
static void run_piece(k_ctx *ctx, const k_attn_bwd_args *a, const division *d,
                      int64_t i)
{
  scratch w = scratch_of(ctx);
  if (i < d->n_whole) {
    for (int64_t k = 0; k < d->n_blocks; k++)
      backward_block(a, &w, i, (turns){.n_q = d->n_q, .mine = k});
    return;
  }
  const int64_t k = i - d->n_whole, shared = k % d->n_shared;
  backward_block(a, &w, d->n_whole + shared,
                 (turns){.n_added = turns_of(ctx, shared),
                         .n_q = d->n_q,
                         .mine = k / d->n_shared});
}

K_KERNEL(k_attn_bwd_cpu_f32, k_attn_bwd_cpu_f64)
{
  const k_attn_bwd_args *a = args;
  const division d = divide(a, ctx->n_threads);
  const int64_t n_pieces = d.n_whole + d.n_shared * d.n_blocks;
  atomic_llong next = 0;
  for (int64_t i = 0; i < d.n_shared; i++)
    for (int64_t k = 0; k < (a->t_k + BK - 1) / BK; k++)
      atomic_init(&turns_of(ctx, i)[k], 0);
  omp_set_num_threads(ctx->n_threads);
#pragma omp parallel num_threads(ctx->n_threads)
  for (int64_t i = atomic_fetch_add(&next, 1); i < n_pieces;
       i = atomic_fetch_add(&next, 1))
    run_piece(ctx, a, &d, i);
}
