/** \file block.c
 *  One transformer block: a sequence of kernels, and the reverse for backward.
 *
 *  Shapes: x, mid, y [N, D]; q, o [N, H hd]; k, v [N, G hd]; gate, up, s [N,
 *  F], where H, G and F are the sizes on this rank.  q, k and v are columns of
 *  one activation, and their weights rows of one matrix; so are gate and up. */
#include "model/block.h"

#include "model/tp.h"
#include <math.h>

/** Weights and bias of one or several projections, and their gradients. */
typedef struct linear {
  rt_view w, g;         // [out, in]
  rt_view bias, bias_g; // [1, out], or absent
} linear;

/** One view from the beginning of \a first to the end of \a last. */
static rt_view span(rt_view first, rt_view last, bool vector)
{
  if (first.data == NULL) // a model without gradients
    return first;
  const int64_t bytes = (char *)last.data - (char *)first.data;
  const int64_t n = bytes / (int64_t)rt_dtype_size(first.dtype) +
                    (int64_t)rt_view_size(&last);
  return vector
             ? rt_view_of(first.data, first.dtype, 1, n)
             : rt_view_of(first.data, first.dtype, n / first.cols, first.cols);
}

/** The projections from \a first to \a last, which lie one behind the other
 *  (rt_tensor_before). */
static linear linear_of(const rt_block *block, rt_tensor_id first,
                        rt_tensor_id last)
{
  const rt_param *a = block->t[first], *z = block->t[last];
  linear l = {.w = span(a->w, z->w, false), .g = span(a->g, z->g, false)};
  a = block->t[first + 1];
  z = block->t[last + 1];
  if (a != NULL) {
    l.bias = span(a->w, z->w, true);
    l.bias_g = span(a->g, z->g, true);
  }
  return l;
}

static linear qkv_of(const rt_block *block)
{
  return linear_of(block, RT_TENSOR_Q, RT_TENSOR_V);
}

static linear gate_up_of(const rt_block *block)
{
  return linear_of(block, RT_TENSOR_GATE, RT_TENSOR_UP);
}

/** y = x W^T + b */
static void multiply(rt_dev *dev, rt_view x, const linear *l, rt_view y)
{
  const bool biased = l->bias.data != NULL;
  RT_RUN(dev, gemm, .a = x, .b = l->w, .c = y, .addend = l->bias,
         .trans_b = true, .alpha = 1.0, .beta = biased ? 1.0 : 0.0);
}

/** Gradients of multiply() with respect to its weights: dW += dy^T x, db += sum
 *  of dy. */
static void multiply_dw(rt_dev *dev, rt_view dy, rt_view x, const linear *l)
{
  RT_RUN(dev, gemm, .a = dy, .b = x, .c = l->g, .trans_a = true, .alpha = 1.0,
         .beta = 1.0);
  if (l->bias.data != NULL)
    RT_RUN(dev, bias_bwd, .dy = dy, .dbias = l->bias_g);
  rt_comm_progress();
}

/** Gradient of multiply() with respect to its input: dx = dy W. */
static void multiply_dx(rt_dev *dev, rt_view dy, const linear *l, rt_view dx)
{
  RT_RUN(dev, gemm, .a = dy, .b = l->w, .c = dx, .alpha = 1.0);
  rt_comm_progress();
}

/** out = x + (sum over tp of in W^T) + b: add the output of a half-block to the
 *  residual stream. */
static rt_err add_to_residual(const rt_block_env *env, rt_view in,
                              const linear *l, rt_view x, rt_view out)
{
  const bool alone = env->grid->tp == 1;
  RT_RUN(env->dev, gemm, .a = in, .b = l->w, .c = out,
         .addend = alone ? x : (rt_view){0}, .trans_b = true, .alpha = 1.0,
         .beta = alone ? 1.0 : 0.0);
  RT_TRY(rt_tp_exit(env->grid, env->dev, out, RT_PASS_FORWARD));
  if (l->bias.data != NULL) // added once, after the sum over tp
    RT_RUN(env->dev, bias_fwd, .bias = l->bias, .y = out);
  if (!alone)
    RT_RUN(env->dev, add, .x = x, .y = out);
  rt_comm_progress(); // weights of later blocks may be on their way
  return RT_OK;
}

static void norm(const rt_block_env *env, rt_view x, const rt_param *w,
                 rt_view y, rt_view rstd)
{
  RT_RUN(env->dev, rmsnorm_fwd, .x = x, .w = w->w, .y = y, .rstd = rstd,
         .eps = env->arch->norm_eps);
}

static void rope(const rt_block_env *env, rt_view x, int direction)
{
  RT_RUN(env->dev, rope, .pos = env->in->pos, .table = env->rope, .x = x,
         .head_dim = env->arch->head_dim, .direction = direction);
}

static double attn_scale(const rt_block_env *env)
{
  return 1.0 / sqrt((double)env->arch->head_dim);
}

/** q, k, v, or their gradients: columns of one activation. */
typedef struct heads {
  rt_view q, k, v, q_and_k;
} heads;

static heads heads_of(const rt_block_env *env, rt_view qkv)
{
  const int64_t q = env->n_heads * env->arch->head_dim;
  const int64_t kv = env->n_kv_heads * env->arch->head_dim;
  return (heads){.q = rt_view_cols(qkv, 0, q),
                 .k = rt_view_cols(qkv, q, kv),
                 .v = rt_view_cols(qkv, q + kv, kv),
                 .q_and_k = rt_view_cols(qkv, 0, q + kv)};
}

static rt_err attention(const rt_block *block, const rt_block_env *env,
                        const rt_view *a)
{
  const linear qkv = qkv_of(block);
  const linear o = linear_of(block, RT_TENSOR_O, RT_TENSOR_O);
  const heads h = heads_of(env, a[RT_ACT_QKV]);
  rt_dev *dev = env->dev;
  const rt_view y = a[RT_ACT_Y];
  norm(env, a[RT_ACT_X], block->t[RT_TENSOR_ATTN_NORM], y, a[RT_ACT_ATTN_RSTD]);
  RT_TRY(rt_tp_enter(env->grid, dev, y, RT_PASS_FORWARD));
  multiply(dev, y, &qkv, a[RT_ACT_QKV]);
  rope(env, h.q_and_k, 1);
  RT_RUN(dev, attn_fwd, .q = h.q, .k = h.k, .v = h.v,
         .doc_start = env->in->doc_start, .o = a[RT_ACT_O],
         .lse = a[RT_ACT_LSE], .batch = env->in->n_rows, .t_q = env->in->seq,
         .t_k = env->in->seq, .n_heads = env->n_heads,
         .n_kv_heads = env->n_kv_heads, .head_dim = env->arch->head_dim,
         .scale = attn_scale(env));
  return add_to_residual(env, a[RT_ACT_O], &o, a[RT_ACT_X], a[RT_ACT_MID]);
}

/** gate and up, or their gradients: halves of one activation. */
typedef struct halves {
  rt_view gate, up;
} halves;

static halves halves_of(rt_view both)
{
  const int64_t n = both.cols / 2;
  return (halves){rt_view_cols(both, 0, n), rt_view_cols(both, n, n)};
}

/** The inputs of the feed-forward layer's nonlinearity. */
static rt_err gate_and_up(const rt_block *block, const rt_block_env *env,
                          const rt_view *a)
{
  const linear both = gate_up_of(block);
  const rt_view y = a[RT_ACT_Y];
  norm(env, a[RT_ACT_MID], block->t[RT_TENSOR_MLP_NORM], y, a[RT_ACT_MLP_RSTD]);
  RT_TRY(rt_tp_enter(env->grid, env->dev, y, RT_PASS_FORWARD));
  multiply(env->dev, y, &both, a[RT_ACT_GATE_UP]);
  return RT_OK;
}

rt_err rt_block_forward(const rt_block *block, const rt_block_env *env,
                        const rt_acts *acts, rt_view out)
{
  const rt_view *const a = acts->v;
  const linear down = linear_of(block, RT_TENSOR_DOWN, RT_TENSOR_DOWN);
  const halves h = halves_of(a[RT_ACT_GATE_UP]);
  RT_TRY(attention(block, env, a));
  RT_TRY(gate_and_up(block, env, a));
  RT_RUN(env->dev, swiglu_fwd, .gate = h.gate, .up = h.up, .y = a[RT_ACT_S]);
  return add_to_residual(env, a[RT_ACT_S], &down, a[RT_ACT_MID], out);
}

rt_err rt_block_recompute(const rt_block *block, const rt_block_env *env,
                          const rt_acts *acts)
{
  RT_TRY(attention(block, env, acts->v));
  return gate_and_up(block, env, acts->v);
}

/** Y holds this rank's part of the gradient with respect to the normed input of
 *  a half-block.  Sum it over tp, and add the gradient with respect to the
 *  unnormed input \a x to DX. */
static rt_err finish_half_bwd(const rt_block_env *env, const rt_view *a,
                              rt_view x, const rt_param *w, rt_view rstd)
{
  RT_TRY(rt_tp_enter(env->grid, env->dev, a[RT_ACT_Y], RT_PASS_BACKWARD));
  RT_RUN(env->dev, rmsnorm_bwd, .x = x, .w = w->w, .rstd = rstd,
         .dy = a[RT_ACT_Y], .dx = a[RT_ACT_DX], .dw = w->g);
  rt_comm_progress();
  return RT_OK;
}

/** In: DX = gradient with respect to the block's output.  Out: with respect to
 *  mid. */
static rt_err mlp_bwd(const rt_block *block, const rt_block_env *env,
                      const rt_view *a)
{
  const linear down = linear_of(block, RT_TENSOR_DOWN, RT_TENSOR_DOWN);
  const linear both = gate_up_of(block);
  const rt_param *w = block->t[RT_TENSOR_MLP_NORM];
  rt_dev *dev = env->dev;
  const rt_view dx = a[RT_ACT_DX], y = a[RT_ACT_Y], s = a[RT_ACT_S];
  const halves h = halves_of(a[RT_ACT_GATE_UP]);
  RT_TRY(rt_tp_exit(env->grid, dev, dx, RT_PASS_BACKWARD));
  RT_RUN(dev, swiglu_fwd, .gate = h.gate, .up = h.up, .y = s);
  multiply_dw(dev, dx, s, &down);
  multiply_dx(dev, dx, &down, s); // s now holds its gradient
  RT_RUN(dev, swiglu_bwd, .gate = h.gate, .up = h.up, .dy = s, .d_gate = h.gate,
         .d_up = h.up); // and these hold theirs
  norm(env, a[RT_ACT_MID], w, y, a[RT_ACT_MLP_RSTD]);
  multiply_dw(dev, a[RT_ACT_GATE_UP], y, &both);
  multiply_dx(dev, a[RT_ACT_GATE_UP], &both, y);
  return finish_half_bwd(env, a, a[RT_ACT_MID], w, a[RT_ACT_MLP_RSTD]);
}

/** From DO, compute DQKV: the gradient with respect to the projections'
 *  outputs. */
static void attn_core_bwd(const rt_block_env *env, const rt_view *a)
{
  const heads h = heads_of(env, a[RT_ACT_QKV]);
  const heads d = heads_of(env, a[RT_ACT_DQKV]);
  RT_RUN(env->dev, attn_bwd, .q = h.q, .k = h.k, .v = h.v,
         .doc_start = env->in->doc_start, .o = a[RT_ACT_O],
         .lse = a[RT_ACT_LSE], .d_o = a[RT_ACT_DO], .dq = d.q, .dk = d.k,
         .dv = d.v, .batch = env->in->n_rows, .t_q = env->in->seq,
         .t_k = env->in->seq, .n_heads = env->n_heads,
         .n_kv_heads = env->n_kv_heads, .head_dim = env->arch->head_dim,
         .scale = attn_scale(env));
  rope(env, d.q_and_k, -1);
  rt_comm_progress();
}

/** In: DX = gradient with respect to mid.  Out: with respect to x. */
static rt_err attention_bwd(const rt_block *block, const rt_block_env *env,
                            const rt_view *a)
{
  const linear qkv = qkv_of(block);
  const linear o = linear_of(block, RT_TENSOR_O, RT_TENSOR_O);
  const rt_param *w = block->t[RT_TENSOR_ATTN_NORM];
  rt_dev *dev = env->dev;
  const rt_view dx = a[RT_ACT_DX], y = a[RT_ACT_Y];
  RT_TRY(rt_tp_exit(env->grid, dev, dx, RT_PASS_BACKWARD));
  multiply_dw(dev, dx, a[RT_ACT_O], &o);
  multiply_dx(dev, dx, &o, a[RT_ACT_DO]);
  attn_core_bwd(env, a);
  norm(env, a[RT_ACT_X], w, y, a[RT_ACT_ATTN_RSTD]);
  multiply_dw(dev, a[RT_ACT_DQKV], y, &qkv);
  multiply_dx(dev, a[RT_ACT_DQKV], &qkv, y);
  return finish_half_bwd(env, a, a[RT_ACT_X], w, a[RT_ACT_ATTN_RSTD]);
}

rt_err rt_block_backward(const rt_block *block, const rt_block_env *env,
                         const rt_acts *acts)
{
  RT_TRY(mlp_bwd(block, env, acts->v));
  return attention_bwd(block, env, acts->v);
}
