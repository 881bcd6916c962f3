/** \file attn_bf16.c
 *  Attention in bf16 by AMX; without it the operands are copied to f32, where
 *  all of it is computed, and the results are rounded.  The copies are those of
 *  a few sequences at a time, which leaves them small however many there are.
 */
#include "kernels/cpu/attn_bf16.h"

#include "kernels/cpu/attn_amx.h"
#include "kernels/cpu/copy.h"
#include "kernels/cpu/real.h"
#include "kernels/cpu/table_cpu.h"

enum { ALIGN = 64 };

/** Part of a workspace that is given out. */
typedef struct space {
  char *at;
  size_t used;
} space;

static size_t copy_bytes(const rt_view *x)
{
  return (rt_view_size(x) * sizeof(float) + ALIGN - 1) / ALIGN * ALIGN;
}

/** A copy of \a x in f32, still without its numbers. */
static rt_view take(space *s, const rt_view *x)
{
  const rt_view y = rt_view_of(s->at + s->used, RT_F32, x->rows, x->cols);
  s->used += copy_bytes(x);
  return y;
}

static rt_view take_copy(k_ctx *ctx, space *s, const rt_view *x)
{
  const rt_view y = take(s, x);
  k_copy_rows(ctx, y, *x);
  return y;
}

/** Sequences at a time: two heads for each thread. */
static int64_t group_of(int n_threads, int64_t batch, int64_t n_heads)
{
  const int64_t n = (2 * n_threads + n_heads - 1) / n_heads;
  return n < batch ? n : batch;
}

/** \a n of the \a batch sequences of a view, from \a first on. */
static rt_view part_of(const rt_view *x, int64_t batch, int64_t first,
                       int64_t n)
{
  return rt_view_rows(*x, x->rows / batch * first, x->rows / batch * n);
}

static size_t bytes_of(const rt_view *const *views, int n, int64_t batch,
                       int64_t group)
{
  size_t bytes = 0;
  for (int i = 0; i < n; i++) {
    const rt_view part = part_of(views[i], batch, 0, group);
    bytes += copy_bytes(&part);
  }
  return bytes;
}

size_t k_attn_fwd_bytes(const k_ctx *ctx, const k_attn_fwd_args *a)
{
  if (a->q.dtype == RT_BF16 && k_attn_has_amx(ctx, a->head_dim))
    return k_attn_fwd_amx_bytes(ctx, a);
  const size_t threads = (size_t)ctx->n_threads * K_THREAD_BYTES;
  const rt_view *const views[] = {&a->q, &a->k, &a->v, &a->o};
  return a->q.dtype == RT_BF16
             ? threads +
                   bytes_of(views, 4, a->batch,
                            group_of(ctx->n_threads, a->batch, a->n_kv_heads))
             : threads;
}

size_t k_attn_bwd_bytes(const k_ctx *ctx, const k_attn_bwd_args *a)
{
  if (a->q.dtype == RT_BF16 && k_attn_has_amx(ctx, a->head_dim))
    return k_attn_bwd_amx_bytes(ctx, a);
  const size_t threads = (size_t)ctx->n_threads * K_THREAD_BYTES;
  const rt_view *const views[] = {&a->q,   &a->k,  &a->v,  &a->o,
                                  &a->d_o, &a->dq, &a->dk, &a->dv};
  return a->q.dtype == RT_BF16
             ? threads +
                   bytes_of(views, 8, a->batch,
                            group_of(ctx->n_threads, a->batch, a->n_kv_heads))
             : threads;
}

/** The context of a kernel in f32 behind the copies. */
static k_ctx behind(const k_ctx *ctx, size_t bytes)
{
  k_ctx rest = *ctx;
  rest.workspace = (char *)ctx->workspace + bytes;
  rest.workspace_bytes = ctx->workspace_bytes - bytes;
  return rest;
}

static void forward(k_ctx *ctx, const k_attn_fwd_args *a)
{
  space s = {ctx->workspace, 0};
  k_attn_fwd_args in_f32 = *a;
  in_f32.q = take_copy(ctx, &s, &a->q);
  in_f32.k = take_copy(ctx, &s, &a->k);
  in_f32.v = take_copy(ctx, &s, &a->v);
  in_f32.o = take(&s, &a->o);
  k_ctx rest = behind(ctx, s.used);
  k_attn_fwd_cpu_f32(&rest, &in_f32);
  ctx->err = rest.err;
  k_copy_rows(ctx, a->o, in_f32.o);
}

void k_attn_fwd_cpu_bf16(k_ctx *ctx, const void *args)
{
  const k_attn_fwd_args *a = args;
  if (k_attn_has_amx(ctx, a->head_dim)) {
    k_attn_fwd_amx(ctx, a);
    return;
  }
  const int64_t group = group_of(ctx->n_threads, a->batch, a->n_kv_heads);
  for (int64_t b = 0, n; b < a->batch; b += n) {
    n = group < a->batch - b ? group : a->batch - b;
    k_attn_fwd_args part = *a;
    part.batch = n;
    enum { N_VIEWS = 6 };
    rt_view *const views[N_VIEWS] = {&part.q,         &part.k, &part.v,
                                     &part.doc_start, &part.o, &part.lse};
    for (int i = 0; i < N_VIEWS; i++)
      *views[i] = part_of(views[i], a->batch, b, n);
    forward(ctx, &part);
  }
}

static void backward(k_ctx *ctx, const k_attn_bwd_args *a)
{
  space s = {ctx->workspace, 0};
  k_attn_bwd_args in_f32 = *a;
  in_f32.q = take_copy(ctx, &s, &a->q);
  in_f32.k = take_copy(ctx, &s, &a->k);
  in_f32.v = take_copy(ctx, &s, &a->v);
  in_f32.o = take_copy(ctx, &s, &a->o);
  in_f32.d_o = take_copy(ctx, &s, &a->d_o);
  in_f32.dq = take(&s, &a->dq);
  in_f32.dk = take(&s, &a->dk);
  in_f32.dv = take(&s, &a->dv);
  k_ctx rest = behind(ctx, s.used);
  k_attn_bwd_cpu_f32(&rest, &in_f32);
  ctx->err = rest.err;
  k_copy_rows(ctx, a->dq, in_f32.dq);
  k_copy_rows(ctx, a->dk, in_f32.dk);
  k_copy_rows(ctx, a->dv, in_f32.dv);
}

void k_attn_bwd_cpu_bf16(k_ctx *ctx, const void *args)
{
  const k_attn_bwd_args *a = args;
  if (k_attn_has_amx(ctx, a->head_dim)) {
    k_attn_bwd_amx(ctx, a);
    return;
  }
  const int64_t group = group_of(ctx->n_threads, a->batch, a->n_kv_heads);
  for (int64_t b = 0, n; b < a->batch; b += n) {
    n = group < a->batch - b ? group : a->batch - b;
    k_attn_bwd_args part = *a;
    part.batch = n;
    enum { N_VIEWS = 10 };
    rt_view *const views[N_VIEWS] = {
        &part.q,   &part.k,   &part.v,  &part.doc_start, &part.o,
        &part.lse, &part.d_o, &part.dq, &part.dk,        &part.dv};
    for (int i = 0; i < N_VIEWS; i++)
      *views[i] = part_of(views[i], a->batch, b, n);
    backward(ctx, &part);
  }
}
