/** \file attn_amx.c
 *  Attention in bf16 by AMX: causal, grouped-query, in tiles (FlashAttention,
 *  Dao et al. 2022).  Scores and sums are f32; probabilities and the gradients
 *  of scores are rounded to bf16 where they become factors.
 *
 *  The backward pass computes the scores twice, by blocks of queries for dq and
 *  by blocks of keys for dk and dv.  That costs less than sharing sums would:
 *  every element has one writer, and bits do not depend on the number of
 *  threads. */
#include "kernels/cpu/attn_amx.h"

#include "base/split.h"
#include "kernels/cpu/amx.h"
#include "kernels/cpu/gemm.h"
#include "kernels/cpu/real.h"

#include <omp.h>

enum { BLOCK = K_AMX_BLOCK };
enum { MOST_COLS = 256 }; // of a head

static int64_t smaller(int64_t a, int64_t b)
{
  return a < b ? a : b;
}

/** What both passes need, for a few sequences. */
typedef struct work {
  rt_view q, k, v, o, d_o, dq, dk, dv, lse; // bf16, but lse
  const int32_t *doc_start;                 // [batch, t_q]
  int64_t batch, t_q, t_k, n_heads, n_kv_heads, head_dim;
  int64_t cols; // of a head, padded
  float scale;
  k_amx_area k_across, k_along, v_across, v_along;   // by sequence and kv head
  k_amx_area q_across, q_along, do_across, do_along; // by sequence and head
  float *z, *delta; // [batch, heads, t_q padded]: log-sum-exp, sum of do o
} work;

/** Parts of the workspace of a thread. */
typedef struct scratch {
  float *s, *ds;     // [BLOCK, BLOCK]: scores, gradients of probabilities
  float *sum, *sum2; // [BLOCK, cols]
  rt_bf16 *p, *dp;   // [BLOCK, BLOCK]: probabilities, gradients of scores
  rt_bf16 *a, *b;    // [BLOCK, cols]: first factors
} scratch;

_Static_assert((BLOCK * BLOCK + BLOCK * MOST_COLS) * 2 *
                       (sizeof(float) + sizeof(rt_bf16)) <=
                   K_THREAD_BYTES,
               "a thread's workspace is too small for attention");

static scratch scratch_of(const k_ctx *ctx, const work *w)
{
  const int64_t tile = BLOCK * BLOCK, n = BLOCK * w->cols;
  float *const f = (float *)((char *)ctx->workspace +
                             (size_t)omp_get_thread_num() * K_THREAD_BYTES);
  rt_bf16 *const b = (rt_bf16 *)(f + 2 * tile + 2 * n);
  return (scratch){.s = f,
                   .ds = f + tile,
                   .sum = f + 2 * tile,
                   .sum2 = f + 2 * tile + n,
                   .p = b,
                   .dp = b + tile,
                   .a = b + 2 * tile,
                   .b = b + 2 * tile + n};
}

/** Rows of a block of \a n that begins at \a row. */
static int64_t rows_at(int64_t row, int64_t n)
{
  return smaller(BLOCK, n > row ? n - row : 0);
}

/** Rows of a block of sequence \a b and head \a h; t is t_q or t_k. */
static rt_view block_of(const rt_view *x, const work *w, int64_t t, int64_t b,
                        int64_t h, int64_t row)
{
  return rt_view_cols(
      rt_view_rows(*x, b * t + smaller(row, t), rows_at(row, t)),
      h * w->head_dim, w->head_dim);
}

static rt_view queries_of(const rt_view *x, const work *w, int64_t b, int64_t h,
                          int64_t row)
{
  return block_of(x, w, w->t_q, b, h, row);
}

static rt_view keys_of(const rt_view *x, const work *w, int64_t b, int64_t g,
                       int64_t row)
{
  return block_of(x, w, w->t_k, b, g, row);
}

/** Copy a block to a first factor, padded with zeros. */
static void copy_block(const work *w, rt_view x, rt_bf16 *to)
{
  for (int64_t r = 0; r < BLOCK; r++) {
    rt_bf16 *const row = to + r * w->cols;
    const int64_t n = r < x.rows ? x.cols : 0;
    if (n > 0)
      memcpy(row, (const rt_bf16 *)x.data + r * x.ld, (size_t)n * sizeof *row);
    memset(row + n, 0, (size_t)(w->cols - n) * sizeof *row);
  }
}

/** Round rows of a sum to a block; each row times its factor, or 1. */
K_AMX static void put_block(const work *w, const float *sum,
                            const float *factor, rt_view to)
{
  for (int64_t r = 0; r < to.rows; r++) {
    rt_bf16 *const row = (rt_bf16 *)to.data + r * to.ld;
    const float f = factor != NULL ? factor[r] : 1.0F;
    for (int64_t c = 0; c < to.cols; c++)
      row[c] = rt_bf16_put(sum[r * w->cols + c] * f);
  }
}

static void clear(float *x, int64_t n)
{
  memset(x, 0, (size_t)n * sizeof *x);
}

static const int32_t *starts_of(const work *w, int64_t b, int64_t query)
{
  return w->doc_start + b * w->t_q + query;
}

/** The first key block that any of \a n queries attends to. */
static int64_t first_block(const int32_t *start, int64_t n)
{
  int32_t least = start[0];
  for (int64_t i = 1; i < n; i++)
    least = start[i] < least ? start[i] : least;
  return least / BLOCK * BLOCK;
}

/** Keys of a block that a query attends to. */
static k_amx_range visible(const work *w, const int32_t *start, int64_t query,
                           int64_t key0)
{
  const int64_t past = query + w->t_k - w->t_q + 1 - key0;
  const int64_t to = past < 0 ? 0 : smaller(past, BLOCK);
  const int64_t from = *start < key0 ? 0 : *start - key0;
  return (k_amx_range){smaller(from, to), to};
}

/** Running maximum and sum of each query. */
typedef struct running {
  float top[BLOCK], sum[BLOCK];
} running;

/** Scores become probabilities; the sums so far are scaled to the new
 *  maximum. */
K_AMX static void softmax(const work *w, const scratch *t, running *r,
                          int64_t b, int64_t q0, int64_t k0)
{
  const int64_t nq = rows_at(q0, w->t_q);
  const int32_t *start = starts_of(w, b, q0);
  for (int64_t i = 0; i < nq; i++) {
    const k_amx_range see = visible(w, start + i, q0 + i, k0);
    float top = r->top[i];
    const float sum =
        k_amx_softmax(t->s + i * BLOCK, see, w->scale, &top, t->p + i * BLOCK);
    const float by = k_exp(r->top[i] - top);
    r->sum[i] = r->sum[i] * by + sum;
    r->top[i] = top;
    for (int64_t c = 0; by != 1.0F && c < w->cols; c++)
      t->sum[i * w->cols + c] *= by;
  }
}

static void forward_block(const work *w, const scratch *t, int64_t b, int64_t h,
                          int64_t q0)
{
  const int64_t g = b * w->n_kv_heads + h / (w->n_heads / w->n_kv_heads);
  const int64_t nq = rows_at(q0, w->t_q), cols = w->cols;
  const int64_t end = smaller(q0 + nq + w->t_k - w->t_q, w->t_k);
  running r;
  for (int64_t i = 0; i < BLOCK; i++) {
    r.top[i] = -1e30F;
    r.sum[i] = 0.0F;
  }
  copy_block(w, queries_of(&w->q, w, b, h, q0), t->a);
  clear(t->sum, BLOCK * cols);
  for (int64_t k0 = first_block(starts_of(w, b, q0), nq); k0 < end;
       k0 += BLOCK) {
    k_amx_multiply((k_amx_product){t->a, cols,
                                   k_amx_across(&w->k_across, g, k0), t->s,
                                   BLOCK, BLOCK, BLOCK, cols, false});
    softmax(w, t, &r, b, q0, k0);
    k_amx_multiply((k_amx_product){t->p, BLOCK, k_amx_along(&w->v_along, g, k0),
                                   t->sum, cols, BLOCK, cols, BLOCK, true});
  }
  for (int64_t i = 0; i < nq; i++) {
    ((float *)w->lse.data)[(b * w->t_q + q0 + i) * w->lse.ld + h] =
        r.top[i] + (float)log((double)r.sum[i]);
    r.sum[i] = 1.0F / r.sum[i];
  }
  put_block(w, t->sum, r.sum, queries_of(&w->o, w, b, h, q0));
}

static void pack_across(rt_view x, const k_amx_area *s, int64_t head,
                        int64_t row)
{
  const k_amx_factor to = k_amx_across(s, head, row);
  k_amx_pack_across(x, &to, s->cols, BLOCK);
}

static void pack_along(rt_view x, const k_amx_area *s, int64_t head,
                       int64_t row)
{
  const k_amx_factor to = k_amx_along(s, head, row);
  k_amx_pack_along(x, &to, BLOCK, s->cols);
}

/** Pack block number \a i of the keys of all sequences and heads. */
static void pack_keys(const work *w, int64_t i)
{
  const int64_t n = w->k_across.t / BLOCK, head = i / n, k0 = i % n * BLOCK;
  const int64_t b = head / w->n_kv_heads, g = head % w->n_kv_heads;
  const rt_view k = keys_of(&w->k, w, b, g, k0),
                v = keys_of(&w->v, w, b, g, k0);
  pack_across(k, &w->k_across, head, k0);
  if (w->k_along.at == NULL) {
    pack_along(v, &w->v_along, head, k0);
    return;
  }
  pack_along(k, &w->k_along, head, k0);
  pack_across(v, &w->v_across, head, k0);
}

/** delta = sum of do o. */
K_AMX static float dot_of(const rt_bf16 *x, const rt_bf16 *y, int64_t n)
{
  float sum = 0.0F;
#pragma omp simd reduction(+ : sum)
  for (int64_t c = 0; c < n; c++)
    sum += rt_bf16_get(x[c]) * rt_bf16_get(y[c]);
  return sum;
}

/** The same for queries, and their values z and delta. */
static void pack_queries(const work *w, int64_t i)
{
  const int64_t n = w->q_across.t / BLOCK, head = i / n, q0 = i % n * BLOCK;
  const int64_t b = head / w->n_heads, h = head % w->n_heads;
  const rt_view q = queries_of(&w->q, w, b, h, q0);
  const rt_view d_o = queries_of(&w->d_o, w, b, h, q0);
  const rt_view o = queries_of(&w->o, w, b, h, q0);
  const float *lse = (const float *)w->lse.data + b * w->t_q * w->lse.ld + h;
  float *const z = w->z + i * BLOCK, *const delta = w->delta + i * BLOCK;
  pack_across(q, &w->q_across, head, q0);
  pack_along(q, &w->q_along, head, q0);
  pack_across(d_o, &w->do_across, head, q0);
  pack_along(d_o, &w->do_along, head, q0);
  for (int64_t r = 0; r < BLOCK; r++) {
    const bool is = r < q.rows;
    z[r] = is ? lse[(q0 + r) * w->lse.ld] : 0.0F;
    delta[r] = is ? dot_of((const rt_bf16 *)o.data + r * o.ld,
                           (const rt_bf16 *)d_o.data + r * d_o.ld, o.cols)
                  : 0.0F;
  }
}

/** dq of a block of queries. */
static void backward_queries(const work *w, const scratch *t, int64_t i)
{
  const int64_t n = w->q_across.t / BLOCK, head = i % (w->batch * w->n_heads);
  const int64_t q0 = (n - 1 - i / (w->batch * w->n_heads)) * BLOCK;
  const int64_t b = head / w->n_heads, h = head % w->n_heads, cols = w->cols;
  const int64_t g = b * w->n_kv_heads + h / (w->n_heads / w->n_kv_heads);
  const int64_t nq = rows_at(q0, w->t_q);
  const int64_t end = smaller(q0 + nq + w->t_k - w->t_q, w->t_k);
  const int64_t at = head * n * BLOCK + q0;
  const int32_t *start = starts_of(w, b, q0);
  copy_block(w, queries_of(&w->q, w, b, h, q0), t->a);
  copy_block(w, queries_of(&w->d_o, w, b, h, q0), t->b);
  clear(t->sum, BLOCK * cols);
  for (int64_t k0 = first_block(start, nq); k0 < end; k0 += BLOCK) {
    k_amx_multiply((k_amx_product){t->a, cols,
                                   k_amx_across(&w->k_across, g, k0), t->s,
                                   BLOCK, BLOCK, BLOCK, cols, false});
    k_amx_multiply((k_amx_product){t->b, cols,
                                   k_amx_across(&w->v_across, g, k0), t->ds,
                                   BLOCK, BLOCK, BLOCK, cols, false});
    for (int64_t r = 0; r < nq; r++)
      k_amx_softmax_grad(t->s + r * BLOCK, t->ds + r * BLOCK,
                         visible(w, start + r, q0 + r, k0),
                         &(k_amx_row){w->z[at + r], w->delta[at + r], w->scale},
                         t->dp + r * BLOCK);
    k_amx_multiply((k_amx_product){t->dp, BLOCK,
                                   k_amx_along(&w->k_along, g, k0), t->sum,
                                   cols, BLOCK, cols, BLOCK, true});
  }
  put_block(w, t->sum, NULL, queries_of(&w->dq, w, b, h, q0));
}

/** Add what queries from \a q0 on of a head contribute to dk and dv of keys
 * from \a k0 on. */
static void add_queries(const work *w, const scratch *t, int64_t head,
                        int64_t q0, int64_t k0)
{
  const int64_t nq = rows_at(q0, w->t_q), nk = rows_at(k0, w->t_k);
  const int64_t at = head * w->q_across.t + q0, cols = w->cols;
  const int32_t *start = starts_of(w, head / w->n_heads, q0);
  k_amx_queries m = {.z = w->z + at, .delta = w->delta + at, .scale = w->scale};
  if (first_block(start, nq) > k0)
    return;
  for (int64_t i = 0; i < BLOCK; i++) {
    m.from[i] = i < nq ? start[i] : INT32_MAX;
    m.last[i] = (int32_t)(q0 + i + w->t_k - w->t_q);
  }
  k_amx_multiply((k_amx_product){t->a, cols,
                                 k_amx_across(&w->q_across, head, q0), t->s,
                                 BLOCK, BLOCK, BLOCK, cols, false});
  k_amx_multiply((k_amx_product){t->b, cols,
                                 k_amx_across(&w->do_across, head, q0), t->ds,
                                 BLOCK, BLOCK, BLOCK, cols, false});
  for (int64_t j = 0; j < nk; j++)
    k_amx_softmax_grad_across(
        t->s + j * BLOCK, t->ds + j * BLOCK, (int32_t)(k0 + j), &m,
        (rt_bf16 *[]){t->p + j * BLOCK, t->dp + j * BLOCK});
  k_amx_multiply((k_amx_product){t->p, BLOCK,
                                 k_amx_along(&w->do_along, head, q0), t->sum2,
                                 cols, BLOCK, cols, BLOCK, true});
  k_amx_multiply((k_amx_product){t->dp, BLOCK,
                                 k_amx_along(&w->q_along, head, q0), t->sum,
                                 cols, BLOCK, cols, BLOCK, true});
}

/** dk and dv of a block of keys. */
static void backward_keys(const work *w, const scratch *t, int64_t i)
{
  const int64_t n_heads = w->batch * w->n_kv_heads;
  const int64_t k0 = i / n_heads * BLOCK, b = i % n_heads / w->n_kv_heads;
  const int64_t g = i % w->n_kv_heads, group = w->n_heads / w->n_kv_heads;
  const int64_t shift = w->t_k - w->t_q;
  const int64_t first = k0 > shift ? (k0 - shift) / BLOCK * BLOCK : 0;
  copy_block(w, keys_of(&w->k, w, b, g, k0), t->a);
  copy_block(w, keys_of(&w->v, w, b, g, k0), t->b);
  clear(t->sum, BLOCK * w->cols);
  clear(t->sum2, BLOCK * w->cols);
  for (int64_t h = g * group; h < (g + 1) * group; h++)
    for (int64_t q0 = first; q0 < w->t_q; q0 += BLOCK)
      add_queries(w, t, b * w->n_heads + h, q0, k0);
  put_block(w, t->sum, NULL, keys_of(&w->dk, w, b, g, k0));
  put_block(w, t->sum2, NULL, keys_of(&w->dv, w, b, g, k0));
}

/** Sequences at a time: two kv heads for each thread. */
static int64_t group_of(const k_ctx *ctx, int64_t batch, int64_t n_kv_heads)
{
  return smaller(batch, (2 * ctx->n_threads + n_kv_heads - 1) / n_kv_heads);
}

/** Part of a workspace that is given out; without memory it counts. */
typedef struct space {
  char *at;
  size_t used;
} space;

static void *take_bytes(space *s, int64_t bytes)
{
  void *const out = s->at != NULL ? s->at + s->used : NULL;
  s->used += (size_t)rt_round_up(bytes, 64);
  return out;
}

static k_amx_area take(space *s, int64_t n_heads, int64_t t, int64_t cols)
{
  const int64_t bytes = n_heads * t * cols * (int64_t)sizeof(rt_bf16);
  return (k_amx_area){take_bytes(s, bytes), t, cols};
}

static void take_forward(work *w, space *at)
{
  const int64_t n = w->batch * w->n_kv_heads, t = rt_round_up(w->t_k, BLOCK);
  w->k_across = take(at, n, t, w->cols);
  w->v_along = take(at, n, t, w->cols);
}

static void take_backward(work *w, space *at)
{
  const int64_t n_kv = w->batch * w->n_kv_heads, n = w->batch * w->n_heads;
  const int64_t t_k = rt_round_up(w->t_k, BLOCK);
  const int64_t t_q = rt_round_up(w->t_q, BLOCK);
  w->k_across = take(at, n_kv, t_k, w->cols);
  w->k_along = take(at, n_kv, t_k, w->cols);
  w->v_across = take(at, n_kv, t_k, w->cols);
  w->q_across = take(at, n, t_q, w->cols);
  w->q_along = take(at, n, t_q, w->cols);
  w->do_across = take(at, n, t_q, w->cols);
  w->do_along = take(at, n, t_q, w->cols);
  w->z = take_bytes(at, n * t_q * (int64_t)sizeof(float));
  w->delta = take_bytes(at, n * t_q * (int64_t)sizeof(float));
}

/** What the arguments of both passes have. */
#define SAME(a)                                                                \
  .q = (a)->q, .k = (a)->k, .v = (a)->v, .o = (a)->o, .lse = (a)->lse,         \
  .doc_start = (a)->doc_start.data, .batch = (a)->batch, .t_q = (a)->t_q,      \
  .t_k = (a)->t_k, .n_heads = (a)->n_heads, .n_kv_heads = (a)->n_kv_heads,     \
  .head_dim = (a)->head_dim, .cols = rt_round_up((a)->head_dim, K_AMX_STEP),   \
  .scale = (float)(a)->scale

static work work_of_fwd(const k_attn_fwd_args *a)
{
  return (work){SAME(a)};
}

static work work_of_bwd(const k_attn_bwd_args *a)
{
  return (work){SAME(a), .d_o = a->d_o, .dq = a->dq, .dk = a->dk, .dv = a->dv};
}

/** \a n sequences from \a first on. */
static work part_of(const work *all, int64_t first, int64_t n)
{
  work w = *all;
  rt_view *const of_queries[] = {&w.q, &w.o, &w.d_o, &w.dq, &w.lse};
  rt_view *const of_keys[] = {&w.k, &w.v, &w.dk, &w.dv};
  for (size_t i = 0; i < sizeof of_queries / sizeof of_queries[0]; i++)
    if (of_queries[i]->data != NULL)
      *of_queries[i] = rt_view_rows(*of_queries[i], first * w.t_q, n * w.t_q);
  for (size_t i = 0; i < sizeof of_keys / sizeof of_keys[0]; i++)
    if (of_keys[i]->data != NULL)
      *of_keys[i] = rt_view_rows(*of_keys[i], first * w.t_k, n * w.t_k);
  w.doc_start += first * w.t_q;
  w.batch = n;
  return w;
}

static space behind_threads(const k_ctx *ctx)
{
  return (space){ctx->workspace, (size_t)ctx->n_threads * K_THREAD_BYTES};
}

bool k_attn_has_amx(const k_ctx *ctx, int64_t head_dim)
{
  return k_gemm_has_amx(ctx) && head_dim <= MOST_COLS;
}

typedef void take_fn(work *w, space *s);
typedef void run_fn(k_ctx *ctx, const work *w);

/** Workspace for a group of sequences. */
static size_t bytes_of(const k_ctx *ctx, work w, take_fn *lay_out)
{
  space s = {NULL, (size_t)ctx->n_threads * K_THREAD_BYTES};
  w.batch = group_of(ctx, w.batch, w.n_kv_heads);
  lay_out(&w, &s);
  return s.used;
}

size_t k_attn_fwd_amx_bytes(const k_ctx *ctx, const k_attn_fwd_args *args)
{
  return bytes_of(ctx, work_of_fwd(args), take_forward);
}

size_t k_attn_bwd_amx_bytes(const k_ctx *ctx, const k_attn_bwd_args *args)
{
  return bytes_of(ctx, work_of_bwd(args), take_backward);
}

static void forward(k_ctx *ctx, const work *w)
{
  const int64_t n_heads = w->batch * w->n_heads;
  const int64_t n_keys = w->batch * w->n_kv_heads * (w->k_across.t / BLOCK);
  const int64_t n_blocks = (w->t_q + BLOCK - 1) / BLOCK;
#pragma omp parallel num_threads(ctx->n_threads)
  {
    const scratch t = scratch_of(ctx, w);
    k_amx_start();
#pragma omp for schedule(static)
    for (int64_t i = 0; i < n_keys; i++)
      pack_keys(w, i);
#pragma omp for schedule(dynamic) // the longest first
    for (int64_t i = 0; i < n_heads * n_blocks; i++)
      forward_block(w, &t, i % n_heads / w->n_heads, i % w->n_heads,
                    (n_blocks - 1 - i / n_heads) * BLOCK);
    k_amx_end();
  }
}

static void backward(k_ctx *ctx, const work *w)
{
  const int64_t n_keys = w->batch * w->n_kv_heads * (w->k_across.t / BLOCK);
  const int64_t n_queries = w->batch * w->n_heads * (w->q_across.t / BLOCK);
#pragma omp parallel num_threads(ctx->n_threads)
  {
    const scratch t = scratch_of(ctx, w);
    k_amx_start();
#pragma omp for schedule(static) nowait
    for (int64_t i = 0; i < n_keys; i++)
      pack_keys(w, i);
#pragma omp for schedule(static)
    for (int64_t i = 0; i < n_queries; i++)
      pack_queries(w, i);
#pragma omp for schedule(dynamic) nowait // the longest first, as below
    for (int64_t i = 0; i < n_keys; i++)
      backward_keys(w, &t, i);
#pragma omp for schedule(dynamic)
    for (int64_t i = 0; i < n_queries; i++)
      backward_queries(w, &t, i);
    k_amx_end();
  }
}

static void by_groups(k_ctx *ctx, work all, take_fn *lay_out, run_fn *run)
{
  const int64_t group = group_of(ctx, all.batch, all.n_kv_heads);
  for (int64_t b = 0; b < all.batch; b += group) {
    work w = part_of(&all, b, smaller(group, all.batch - b));
    space s = behind_threads(ctx);
    lay_out(&w, &s);
    run(ctx, &w);
  }
}

void k_attn_fwd_amx(k_ctx *ctx, const k_attn_fwd_args *args)
{
  by_groups(ctx, work_of_fwd(args), take_forward, forward);
}

void k_attn_bwd_amx(k_ctx *ctx, const k_attn_bwd_args *args)
{
  by_groups(ctx, work_of_bwd(args), take_backward, backward);
}
