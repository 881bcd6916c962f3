/** \file kernels.h
 *  The table of kernels: one row per operation, the same on every backend.
 *
 *  Layer: kernels.  A kernel takes a context, then one struct of arguments
 * whose views come first.  It allocates nothing, prints nothing, never
 * synchronises; an error sticks in the context.  Views are row-major; "real" is
 * f32 or f64, the same for all real views of a call unless said.  Letters: N
 * tokens, D width, H query heads, G key/value heads, V vocabulary, K entries
 * per token; all sizes are this rank's.  Sums have a fixed order: same input,
 * same number of threads, same bits. */
#ifndef K_KERNELS_H
#define K_KERNELS_H

#include "base/err.h"
#include "base/view.h"

/** What a kernel may use.  One per device queue. */
typedef struct k_ctx {
  int n_threads;
  void *workspace; // borrowed, workspace_bytes, 64-byte aligned
  size_t workspace_bytes;
  rt_err err; // sticky: the first error of a kernel on this queue
} k_ctx;

/** K(name, modes, shapes).  modes has a letter per view, in order: i read,
 *  o written whole, b both read and written.  shapes has three per view: type
 *  (r real, i i32, d f64; upper case: may be absent), rows, columns (a letter
 *  means one size within a call, * any).  Every call is checked against it. */
#define K_LIST(K)                                                              \
  K(gemm, "iib", "r** r** r**")                                                \
  K(copy, "io", "rND rND")                                                     \
  K(fill, "o", "rND")                                                          \
  K(add, "ib", "rND rND")                                                      \
  K(scale, "b", "rND")                                                         \
  K(bias_fwd, "ib", "r1D rND")                                                 \
  K(bias_bwd, "ib", "rND r1D")                                                 \
  K(embed_fwd, "iio", "iN1 rVD rND")                                           \
  K(embed_bwd, "iib", "iN1 rND rVD")                                           \
  K(rmsnorm_fwd, "iioo", "rND r1D rND rN1")                                    \
  K(rmsnorm_bwd, "iiiibb", "rND r1D rN1 rND rND r1D")                          \
  K(rope, "iib", "iN1 r** rN*")                                                \
  K(attn_fwd, "iiiioo", "rND rMC rMC iN1 rND rNH")                             \
  K(attn_bwd, "iiiiiiiooo", "rND rMC rMC iN1 rND rNH rND rND rMC rMC")         \
  K(swiglu_fwd, "iio", "rNF rNF rNF")                                          \
  K(swiglu_bwd, "iiioo", "rNF rNF rNF rNF rNF")                                \
  K(xent_stats, "biiiio", "rNV iN1 IN1 INK RNK dN6")                           \
  K(xent_grad, "biiiii", "rNV iN1 IN1 INK RNK dN4")                            \
  K(dense_stats, "bbio", "rNV rNV iN1 dN6")                                    \
  K(dense_grad, "biii", "rNV rNV iN1 dN5")                                     \
  K(topk, "iiooo", "rNV iN1 iNK rNK dN6")                                      \
  K(argmax, "ioo", "rNV iN1 dN1")                                              \
  K(draw, "iiio", "rNV dN6 dNK iNK")                                           \
  K(sumsq, "io", "r** d11")                                                    \
  K(adamw, "bbbii", "rNC rNC rNC rNC d15")

#define K_ENUM(name, modes, shapes) K_##name,
typedef enum k_id { K_LIST(K_ENUM) K_COUNT } k_id;
#undef K_ENUM

typedef void k_fn(k_ctx *ctx, const void *args);

typedef struct k_row {
  const char *name;
  const char *modes;  /**< one letter per view */
  const char *shapes; /**< three letters per view, a space between views */
  k_fn *f32, *f64;
  size_t args_bytes;
} k_row;

/** The CPU table, indexed by k_id.  Complete. */
const k_row *k_table_cpu(void);
/** Bytes of k_ctx.workspace that every CPU kernel can live with. */
size_t k_workspace_bytes(int n_threads);

/** C = alpha op(A) op(B) + beta C.  c [m, n]; a is [m, k], or [k, m] when
 *  trans_a; b is [k, n], or [n, k] when trans_b. beta 0 never reads C. */
typedef struct k_gemm_args {
  rt_view a, b, c;
  bool trans_a, trans_b;
  double alpha, beta;
} k_gemm_args;

typedef struct k_copy_args {
  rt_view x, y; /**< y = x, any strides, same real type */
} k_copy_args;
typedef struct k_fill_args {
  rt_view y; /**< y = value */
  double value;
} k_fill_args;
typedef struct k_add_args {
  rt_view x, y; /**< y += x */
} k_add_args;
typedef struct k_scale_args {
  rt_view y; /**< y *= value */
  double value;
} k_scale_args;
typedef struct k_bias_fwd_args {
  rt_view bias, y; /**< [1, D], [N, D]: each row of y += bias */
} k_bias_fwd_args;
typedef struct k_bias_bwd_args {
  rt_view dy, dbias; /**< [N, D], [1, D]: dbias += column sums of dy */
} k_bias_bwd_args;

/** y[n] = w[tok[n] - v0], zero when another rank owns the id. */
typedef struct k_embed_fwd_args {
  rt_view tok; /**< i32 [N, 1] */
  rt_view w;   /**< real [V, D], ids v0 .. v0 + V - 1 */
  rt_view y;   /**< real [N, D] */
  int64_t v0;
} k_embed_fwd_args;
/** dw[tok[n] - v0] += dy[n] for owned ids, in order of n. */
typedef struct k_embed_bwd_args {
  rt_view tok, dy, dw;
  int64_t v0;
} k_embed_bwd_args;

/** y = x * rstd * w, rstd = 1 / sqrt(mean(x^2) + eps), in fp32/f64. */
typedef struct k_rmsnorm_fwd_args {
  rt_view x;    /**< [N, D] */
  rt_view w;    /**< [1, D] */
  rt_view y;    /**< [N, D] */
  rt_view rstd; /**< [N, 1] */
  double eps;
} k_rmsnorm_fwd_args;
/** dx += gradient to x; dw += gradient to w. */
typedef struct k_rmsnorm_bwd_args {
  rt_view x, w, rstd, dy; /**< as forward; dy [N, D] */
  rt_view dx, dw;         /**< [N, D], [1, D] */
} k_rmsnorm_bwd_args;

/** Rotate pairs (i, i + hd/2) of each head (the "rotate half" layout) in place
 *  by the angle of the token's position; direction -1 is the backward. */
typedef struct k_rope_args {
  rt_view pos;   /**< i32 [N, 1] */
  rt_view table; /**< real [positions, head_dim]: cos (hd/2), then sin (hd/2) */
  rt_view x;     /**< real [N, heads * head_dim] */
  int64_t head_dim;
  int direction;
} k_rope_args;

/** Causal grouped-query attention, o = softmax(scale q k^T) v, within each of
 *  \a batch sequences.  Query i of a sequence stands at key position
 *  i + (t_k - t_q) and sees keys doc_start .. itself. */
typedef struct k_attn_fwd_args {
  rt_view q;         /**< [batch * t_q, H * hd] */
  rt_view k, v;      /**< [batch * t_k, G * hd]; query head h reads h / (H/G) */
  rt_view doc_start; /**< i32 [batch * t_q, 1], key position in the sequence */
  rt_view o;         /**< [batch * t_q, H * hd] */
  rt_view lse;       /**< [batch * t_q, H] log-sum-exp of the scaled scores */
  int64_t batch, t_q, t_k, n_heads, n_kv_heads, head_dim;
  double scale;
} k_attn_fwd_args;
typedef struct k_attn_bwd_args {
  rt_view q, k, v, doc_start, o, lse, d_o; /**< as forward */
  rt_view dq, dk, dv;                      /**< written, not added to */
  int64_t batch, t_q, t_k, n_heads, n_kv_heads, head_dim;
  double scale;
} k_attn_bwd_args;

/** y = silu(gate) * up, all [N, F].  y may be gate's or up's memory. */
typedef struct k_swiglu_fwd_args {
  rt_view gate, up, y;
} k_swiglu_fwd_args;
/** d_gate may be gate's memory, d_up up's. */
typedef struct k_swiglu_bwd_args {
  rt_view gate, up, dy, d_gate, d_up;
} k_swiglu_bwd_args;

/** Columns of the row statistics of a logit tile. */
enum {
  K_STAT_MAX,   /**< max over this tile's true vocabulary */
  K_STAT_SUM,   /**< sum exp(z - max) */
  K_STAT_LABEL, /**< z[label]; 0 when another tile owns it */
  K_STAT_DOT,   /**< sum_i t_i z[id_i] over this tile's ids; dense: see below */
  K_STAT_T_MAX, /**< dense: max of z_t / tau */
  K_STAT_T_SUM, /**< dense: sum exp(z_t / tau - t_max) */
  K_N_STAT,
  // of topk with spread, in the places of the last three
  K_STAT_EXP_Z = K_STAT_DOT, /**< sum exp(z - max) (z - max) */
  K_STAT_Z = K_STAT_T_MAX,   /**< sum (z - max) */
  K_STAT_ZZ = K_STAT_T_SUM   /**< sum (z - max)^2 */
};

/** Columns of the coefficients of a row's gradient. */
enum {
  K_COEF_NORM,    /**< makes the exponentials of this tile the softmax */
  K_COEF_SOFTMAX, /**< a: of the softmax, c_label + c_kd */
  K_COEF_LABEL,   /**< c_label: of the one-hot label */
  K_COEF_KD,      /**< c_kd: of the teacher's target */
  K_N_COEF,
  K_COEF_T_NORM = K_N_COEF, /**< dense: NORM of the teacher's tile */
  K_N_COEF_DENSE
};

/** First pass over a tile of student logits with sparse targets: statistics,
 *  and z replaced in place by exp(z - max of this tile) (padding: 0).
 *  n = rows of z.  Ids outside [v0, v0 + V) belong to other tp ranks and are
 *  passed over; columns with v0 + j >= v_true are padding and count as -inf. */
typedef struct k_xent_stats_args {
  rt_view z;     /**< real [n, V] */
  rt_view label; /**< i32 [n, 1] */
  rt_view count; /**< i32 [n, 1] entries of each row; absent: no entries */
  rt_view ids;   /**< i32 [n, K] */
  rt_view t;     /**< f32 (f64 in the f64 row) [n, K] target probabilities */
  rt_view stats; /**< f64 [n, K_N_STAT] */
  int64_t v0, v_true;
} k_xent_stats_args;
/** Second pass, in place: dz_v = a softmax_v - c_label [v == label]
 *  - c_kd sum_i t_i [v == id_i], softmax_v = z_v * norm. */
typedef struct k_xent_grad_args {
  rt_view z;     /**< real [n, V]: exp tile in, dz out */
  rt_view label; /**< as above */
  rt_view count, ids, t;
  rt_view coef; /**< f64 [n, K_N_COEF] */
  int64_t v0;
} k_xent_grad_args;

/** As xent_stats for a dense teacher tile of the same shape; z_t becomes
 *  exp(z_t / tau - t_max); K_STAT_DOT = sum_v exp(z_t/tau - t_max)
 *  (z_t/tau - z_s), which makes KL; without kl - z_s, which makes the soft
 *  cross-entropy. */
typedef struct k_dense_stats_args {
  rt_view z_s, z_t; /**< real [n, V] */
  rt_view label;    /**< i32 [n, 1] */
  rt_view stats;    /**< f64 [n, K_N_STAT] */
  int64_t v0, v_true;
  double tau;
  bool kl;
} k_dense_stats_args;
/** dz = a softmax_s - c_label onehot - c_kd softmax_t, in place of z_s. */
typedef struct k_dense_grad_args {
  rt_view z_s, z_t; /**< exp tiles */
  rt_view label;
  rt_view coef; /**< f64 [n, K_N_COEF_DENSE] */
  int64_t v0;
} k_dense_grad_args;

/** The K largest true logits of each row, largest first, ties by lower id;
 *  K = ids.cols (fewer when the tile is narrower: count).  ids are global.
 *  stats: MAX, SUM, LABEL as in xent_stats; with spread EXP_Z, Z and ZZ, too
 *  (what entropy and standard deviation need).  z is only read. */
typedef struct k_topk_args {
  rt_view z;     /**< real [n, V] */
  rt_view label; /**< i32 [n, 1] */
  rt_view ids;   /**< i32 [n, K], unused places -1 */
  rt_view top;   /**< real [n, K] logits, unused places -inf */
  rt_view stats; /**< f64 [n, K_N_STAT] */
  int64_t v0, v_true;
  bool spread;
} k_topk_args;

/** Largest true element of each row, ties by lower id. */
typedef struct k_argmax_args {
  rt_view z;    /**< real [n, V] */
  rt_view id;   /**< i32 [n, 1], global */
  rt_view best; /**< f64 [n, 1] */
  int64_t v0, v_true;
} k_argmax_args;

/** The element at which the running sum of exp(z - MAX) over the true elements,
 *  in the order of ids, passes each u of a row.  Negative, anywhere: -1; not
 *  less than SUM (by rounding): the last element.  stats: of xent_stats or
 * topk. */
typedef struct k_draw_args {
  rt_view z;     /**< real [n, V] */
  rt_view stats; /**< f64 [n, K_N_STAT] */
  rt_view u;     /**< f64 [n, K] in units of SUM; what is not negative rises */
  rt_view ids;   /**< i32 [n, K], global */
  int64_t v0, v_true;
} k_draw_args;

/** out f64 [1, 1] = sum x^2 in double over fixed chunks; NaN and Inf survive.
 */
typedef struct k_sumsq_args {
  rt_view x, out;
} k_sumsq_args;

/** What changes from step to step, read by kernels through a pointer. */
typedef struct k_adamw_step {
  double lr;
  double grad_scale;   /**< clip factor; multiplies the gradient */
  double bias1, bias2; /**< 1 - beta^t */
  double skip;         /**< not 0: change nothing */
} k_adamw_step;
/** AdamW with decoupled decay (Loshchilov & Hutter, alg. 2, as torch.optim):
 *  p -= lr wd p; m = b1 m + (1-b1) g; v = b2 v + (1-b2) g^2;
 *  p -= lr (m / bias1) / (sqrt(v / bias2) + eps).  All [n, cols]. */
typedef struct k_adamw_args {
  rt_view p, m, v, g;
  rt_view step; /**< f64 [1, 5]: a k_adamw_step */
  double beta1, beta2, eps, weight_decay;
} k_adamw_args;

#endif
