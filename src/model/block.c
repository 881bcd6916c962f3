/** \file block.c
 *  One transformer block: a sequence of kernels, and the reverse for backward.
 *
 *  Shapes: x, mid, y [N, D]; q, o [N, H hd]; k, v [N, G hd]; gate, up, s [N,
 *  F], where H, G and F are the sizes on this rank. */
#include "model/block.h"

#include "model/tp.h"
#include <math.h>

/** y = x W^T + b */
static void linear(rt_dev *dev, rt_view x, const rt_param *w, const rt_param *b,
                   rt_view y)
{
  RT_RUN(dev, gemm, .a = x, .b = w->w, .c = y, .trans_b = true, .alpha = 1.0);
  if (b != NULL)
    RT_RUN(dev, bias_fwd, .bias = b->w, .y = y);
}

/** Gradients of linear() with respect to its weights: dW += dy^T x, db += sum
 *  of dy. */
static void linear_dw(rt_dev *dev, rt_view dy, rt_view x, const rt_param *w,
                      const rt_param *b)
{
  RT_RUN(dev, gemm, .a = dy, .b = x, .c = w->g, .trans_a = true, .alpha = 1.0,
         .beta = 1.0);
  if (b != NULL)
    RT_RUN(dev, bias_bwd, .dy = dy, .dbias = b->g);
}

/** Gradient of linear() with respect to its input: dx = dy W, or dx += dy W. */
static void linear_dx(rt_dev *dev, rt_view dy, const rt_param *w, rt_view dx,
                      bool add)
{
  RT_RUN(dev, gemm, .a = dy, .b = w->w, .c = dx, .alpha = 1.0,
         .beta = add ? 1.0 : 0.0);
}

/** out = x + (sum over tp of in W^T) + b: add the output of a half-block to the
 *  residual stream. */
static rt_err add_to_residual(const rt_block_env *env, rt_view in,
                              const rt_param *w, const rt_param *b, rt_view x,
                              rt_view out)
{
  linear(env->dev, in, w, NULL, out);
  RT_TRY(rt_tp_exit(env->grid, env->dev, out, RT_PASS_FORWARD));
  if (b != NULL) // added once, after the sum over tp
    RT_RUN(env->dev, bias_fwd, .bias = b->w, .y = out);
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

static rt_err attention(const rt_block *block, const rt_block_env *env,
                        const rt_view *a)
{
  const rt_param *const *t = block->t;
  rt_dev *dev = env->dev;
  const rt_view y = a[RT_ACT_Y];
  norm(env, a[RT_ACT_X], t[RT_TENSOR_ATTN_NORM], y, a[RT_ACT_ATTN_RSTD]);
  RT_TRY(rt_tp_enter(env->grid, dev, y, RT_PASS_FORWARD));
  linear(dev, y, t[RT_TENSOR_Q], t[RT_TENSOR_Q_BIAS], a[RT_ACT_Q]);
  linear(dev, y, t[RT_TENSOR_K], t[RT_TENSOR_K_BIAS], a[RT_ACT_K]);
  linear(dev, y, t[RT_TENSOR_V], t[RT_TENSOR_V_BIAS], a[RT_ACT_V]);
  rope(env, a[RT_ACT_Q], 1);
  rope(env, a[RT_ACT_K], 1);
  RT_RUN(dev, attn_fwd, .q = a[RT_ACT_Q], .k = a[RT_ACT_K], .v = a[RT_ACT_V],
         .doc_start = env->in->doc_start, .o = a[RT_ACT_O],
         .lse = a[RT_ACT_LSE], .batch = env->in->n_rows, .t_q = env->in->seq,
         .t_k = env->in->seq, .n_heads = env->n_heads,
         .n_kv_heads = env->n_kv_heads, .head_dim = env->arch->head_dim,
         .scale = attn_scale(env));
  return add_to_residual(env, a[RT_ACT_O], t[RT_TENSOR_O], t[RT_TENSOR_O_BIAS],
                         a[RT_ACT_X], a[RT_ACT_MID]);
}

/** The inputs of the feed-forward layer's nonlinearity. */
static rt_err gate_and_up(const rt_block *block, const rt_block_env *env,
                          const rt_view *a)
{
  const rt_param *const *t = block->t;
  rt_dev *dev = env->dev;
  const rt_view y = a[RT_ACT_Y];
  norm(env, a[RT_ACT_MID], t[RT_TENSOR_MLP_NORM], y, a[RT_ACT_MLP_RSTD]);
  RT_TRY(rt_tp_enter(env->grid, dev, y, RT_PASS_FORWARD));
  linear(dev, y, t[RT_TENSOR_GATE], t[RT_TENSOR_GATE_BIAS], a[RT_ACT_GATE]);
  linear(dev, y, t[RT_TENSOR_UP], t[RT_TENSOR_UP_BIAS], a[RT_ACT_UP]);
  return RT_OK;
}

rt_err rt_block_forward(const rt_block *block, const rt_block_env *env,
                        const rt_acts *acts, rt_view out)
{
  const rt_param *const *t = block->t;
  const rt_view *const a = acts->v;
  RT_TRY(attention(block, env, a));
  RT_TRY(gate_and_up(block, env, a));
  RT_RUN(env->dev, swiglu_fwd, .gate = a[RT_ACT_GATE], .up = a[RT_ACT_UP],
         .y = a[RT_ACT_S]);
  return add_to_residual(env, a[RT_ACT_S], t[RT_TENSOR_DOWN],
                         t[RT_TENSOR_DOWN_BIAS], a[RT_ACT_MID], out);
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
  const rt_param *const *t = block->t;
  rt_dev *dev = env->dev;
  const rt_view dx = a[RT_ACT_DX], y = a[RT_ACT_Y], s = a[RT_ACT_S];
  const rt_view gate = a[RT_ACT_GATE], up = a[RT_ACT_UP];
  RT_TRY(rt_tp_exit(env->grid, dev, dx, RT_PASS_BACKWARD));
  RT_RUN(dev, swiglu_fwd, .gate = gate, .up = up, .y = s);
  linear_dw(dev, dx, s, t[RT_TENSOR_DOWN], t[RT_TENSOR_DOWN_BIAS]);
  rt_comm_progress();
  linear_dx(dev, dx, t[RT_TENSOR_DOWN], s, false); // s now holds its gradient
  rt_comm_progress();
  RT_RUN(dev, swiglu_bwd, .gate = gate, .up = up, .dy = s, .d_gate = gate,
         .d_up = up); // gate and up now hold their gradients
  norm(env, a[RT_ACT_MID], t[RT_TENSOR_MLP_NORM], y, a[RT_ACT_MLP_RSTD]);
  linear_dw(dev, gate, y, t[RT_TENSOR_GATE], t[RT_TENSOR_GATE_BIAS]);
  rt_comm_progress();
  linear_dw(dev, up, y, t[RT_TENSOR_UP], t[RT_TENSOR_UP_BIAS]);
  rt_comm_progress();
  linear_dx(dev, gate, t[RT_TENSOR_GATE], y, false);
  linear_dx(dev, up, t[RT_TENSOR_UP], y, true);
  rt_comm_progress();
  return finish_half_bwd(env, a, a[RT_ACT_MID], t[RT_TENSOR_MLP_NORM],
                         a[RT_ACT_MLP_RSTD]);
}

/** From DO, compute DQ, DK, DV: the gradients with respect to the projections'
 *  outputs. */
static void attn_core_bwd(const rt_block_env *env, const rt_view *a)
{
  RT_RUN(env->dev, attn_bwd, .q = a[RT_ACT_Q], .k = a[RT_ACT_K],
         .v = a[RT_ACT_V], .doc_start = env->in->doc_start, .o = a[RT_ACT_O],
         .lse = a[RT_ACT_LSE], .d_o = a[RT_ACT_DO], .dq = a[RT_ACT_DQ],
         .dk = a[RT_ACT_DK], .dv = a[RT_ACT_DV], .batch = env->in->n_rows,
         .t_q = env->in->seq, .t_k = env->in->seq, .n_heads = env->n_heads,
         .n_kv_heads = env->n_kv_heads, .head_dim = env->arch->head_dim,
         .scale = attn_scale(env));
  rope(env, a[RT_ACT_DQ], -1);
  rope(env, a[RT_ACT_DK], -1);
}

/** In: DX = gradient with respect to mid.  Out: with respect to x. */
static rt_err attention_bwd(const rt_block *block, const rt_block_env *env,
                            const rt_view *a)
{
  const rt_param *const *t = block->t;
  rt_dev *dev = env->dev;
  const rt_view dx = a[RT_ACT_DX], y = a[RT_ACT_Y];
  RT_TRY(rt_tp_exit(env->grid, dev, dx, RT_PASS_BACKWARD));
  linear_dw(dev, dx, a[RT_ACT_O], t[RT_TENSOR_O], t[RT_TENSOR_O_BIAS]);
  linear_dx(dev, dx, t[RT_TENSOR_O], a[RT_ACT_DO], false);
  rt_comm_progress();
  attn_core_bwd(env, a);
  rt_comm_progress();
  norm(env, a[RT_ACT_X], t[RT_TENSOR_ATTN_NORM], y, a[RT_ACT_ATTN_RSTD]);
  linear_dw(dev, a[RT_ACT_DQ], y, t[RT_TENSOR_Q], t[RT_TENSOR_Q_BIAS]);
  linear_dw(dev, a[RT_ACT_DK], y, t[RT_TENSOR_K], t[RT_TENSOR_K_BIAS]);
  linear_dw(dev, a[RT_ACT_DV], y, t[RT_TENSOR_V], t[RT_TENSOR_V_BIAS]);
  rt_comm_progress();
  linear_dx(dev, a[RT_ACT_DQ], t[RT_TENSOR_Q], y, false);
  linear_dx(dev, a[RT_ACT_DK], t[RT_TENSOR_K], y, true);
  linear_dx(dev, a[RT_ACT_DV], t[RT_TENSOR_V], y, true);
  rt_comm_progress();
  return finish_half_bwd(env, a, a[RT_ACT_X], t[RT_TENSOR_ATTN_NORM],
                         a[RT_ACT_ATTN_RSTD]);
}

rt_err rt_block_backward(const rt_block *block, const rt_block_env *env,
                         const rt_acts *acts)
{
  RT_TRY(mlp_bwd(block, env, acts->v));
  return attention_bwd(block, env, acts->v);
}
