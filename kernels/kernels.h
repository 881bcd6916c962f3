/** \file kernels.h
 *  The table of kernels: one row per operation, the same for every backend.
 *
 *  Layer: kernels.  A kernel takes a context and one struct of arguments, which
 *  begins with its views.  It allocates nothing, prints nothing and never
 *  synchronises.  Errors are sticky in the context.  Views are row-major.
 *  "real" is the type of the view's role in the table below.  Symbols: N
 * tokens, D width, H query heads, G key/value heads, V vocabulary, K entries
 * per token; all sizes are those of this rank.  Sums have a fixed order: the
 * same input and number of threads give the same bits.
 */
#ifndef K_KERNELS_H
#define K_KERNELS_H

#include "base/err.h"
#include "base/view.h"
#include "kernels/truncate.h"

/** Resources of a kernel.  One context per device queue. */
typedef struct k_ctx {
  int n_threads;
  void *backend;   // borrowed: what a backend keeps from call to call, or NULL
  void *workspace; // borrowed, workspace_bytes, 256-byte aligned
  size_t workspace_bytes;
  rt_err err; // sticky: the first error of any kernel on this queue
} k_ctx;

/** K(name, modes, shapes).  modes has one letter per view, in order: i input, o
 *  output (written completely), b both.  shapes has three characters per view:
 *  type, rows, columns.  A type is a role of rt_types, or one of its own:
 *     w weight   p master   g grad    a act      i i32
 *     s stat     z tile     e dtile   m moment   d f64   f f32
     r any real type
 *  upper case: the view may be absent.  A letter of a size stands for the same
 *  one throughout a call, * for any, a digit for itself.  Every call is checked
 *  against modes and shapes.
 */
#define K_LIST(K)                                                              \
  K(gemm, "iibi", "r** r** r** R**")                                           \
  K(copy, "io", "rND rND")                                                     \
  K(fill, "o", "rND")                                                          \
  K(add, "ib", "aND aND")                                                      \
  K(scale, "b", "aND")                                                         \
  K(bias_fwd, "ib", "w1D aND")                                                 \
  K(bias_bwd, "ib", "aND g1D")                                                 \
  K(embed_fwd, "iio", "iN1 wVD aND")                                           \
  K(embed_bwd, "iib", "iN1 aND gVD")                                           \
  K(rmsnorm_fwd, "iioo", "aND w1D aND sN1")                                    \
  K(rmsnorm_bwd, "iiiibb", "aND w1D sN1 aND aND g1D")                          \
  K(rope, "iib", "iN1 s** aN*")                                                \
  K(attn_fwd, "iiiioo", "aND aMC aMC iN1 aND sNH")                             \
  K(attn_bwd, "iiiiiiiooo", "aND aMC aMC iN1 aND sNH aND aND aMC aMC")         \
  K(swiglu_fwd, "iio", "aNF aNF aNF")                                          \
  K(swiglu_bwd, "iiioo", "aNF aNF aNF aNF aNF")                                \
  K(xent_stats, "biiiio", "zNV iN1 IN1 INK SNK dN7")                           \
  K(xent_grad, "biiiiiio", "zNV iN1 IN1 INK SNK dN7 dN5 eNV")                  \
  K(dense_stats, "bbio", "zNV zNV iN1 dN7")                                    \
  K(dense_grad, "iiiiio", "zNV zNV iN1 dN7 dN5 eNV")                           \
  K(loss_coef, "iiiiob", "d*7 dN1 DN1 IN1 dN5 d13")                            \
  K(topk, "iiooo", "zNV iN1 iNK zNK dN7")                                      \
  K(merge_topk, "iiioooo", "dSX zSY iSY iN1 iNK fNK DN4")                      \
  K(argmax, "ioo", "zNV iN1 dN1")                                              \
  K(draw_numbers, "io", "dSX dNK")                                             \
  K(draw, "iiio", "zNV dN7 dNK iNK")                                           \
  K(merge_draws, "iioooo", "dSX iSY iN1 iNK fNK DN4")                          \
  K(targets, "iioo", "iN1 fNK sNK dN1")                                        \
  K(sumsq, "iio", "g1* dN7 d11")                                               \
  K(step_control, "iiboo", "dN1 d13 d14 d15 d1*")                              \
  K(adamw, "bbbiiib", "p1* m1* m1* g1* dN7 d15 W1*")

#define K_ENUM(name, modes, shapes) K_##name,
typedef enum k_id { K_LIST(K_ENUM) K_COUNT } k_id;
#undef K_ENUM

typedef void k_fn(k_ctx *ctx, const void *args);

/** The sets of types for which kernels exist: rt_types_of(RT_F32), ... */
typedef enum k_set { K_SET_F32, K_SET_F64, K_SET_BF16, K_N_SET } k_set;

typedef struct k_row {
  const char *name;
  const char *modes;  /**< one letter per view */
  const char *shapes; /**< three characters per view, separated by spaces */
  k_fn *fn[K_N_SET];  /**< one function per set; all are present */
  size_t args_bytes;
} k_row;

/** The CPU table, indexed by k_id.  Every row is present. */
const k_row *k_table_cpu(void);
/** Bytes of k_ctx.workspace that a call of a CPU kernel needs.  The views of
 *  \a args need no data. */
size_t k_workspace_cpu(const k_ctx *ctx, k_id kernel, const void *args);

/** C = alpha op(A) op(B) + beta X, where X is the addend, or C if that is
 *  absent.  c is [m, n]; a is [m, k], or [k, m] if trans_a; b is [k, n], or
 *  [n, k] if trans_b; the addend is like c and may take its memory, or is one
 * row for all of c.  X is not read if beta is 0.  All f32, or all f64, or a and
 * b bf16 and c bf16 or f32; products of bf16 are summed in f32, and C is
 * rounded once. */
typedef struct k_gemm_args {
  rt_view a, b, c, addend;
  bool trans_a, trans_b;
  double alpha, beta;
} k_gemm_args;

typedef struct k_copy_args {
  rt_view x, y; /**< y = x; row strides may differ, and types f32 and bf16 */
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

/** y[n] = w[tok[n] - v0], or 0 if another rank owns the id. */
typedef struct k_embed_fwd_args {
  rt_view tok; /**< i32 [N, 1] */
  rt_view w;   /**< real [V, D], ids v0 .. v0 + V - 1 */
  rt_view y;   /**< real [N, D] */
  int64_t v0;
} k_embed_fwd_args;
/** dw[tok[n] - v0] += dy[n] for the ids of this rank, in order of n. */
typedef struct k_embed_bwd_args {
  rt_view tok, dy, dw;
  int64_t v0;
} k_embed_bwd_args;

/** y = x * rstd * w, rstd = 1 / sqrt(mean(x^2) + eps). */
typedef struct k_rmsnorm_fwd_args {
  rt_view x;    /**< [N, D] */
  rt_view w;    /**< [1, D] */
  rt_view y;    /**< [N, D] */
  rt_view rstd; /**< [N, 1] */
  double eps;
} k_rmsnorm_fwd_args;
/** dx += gradient with respect to x; dw += gradient with respect to w. */
typedef struct k_rmsnorm_bwd_args {
  rt_view x, w, rstd, dy; /**< as forward; dy [N, D] */
  rt_view dx, dw;         /**< [N, D], [1, D] */
} k_rmsnorm_bwd_args;

/** Rotate the pairs (i, i + hd/2) of each head (the "rotate half" layout) in
 *  place by the angle of the token's position.  direction is 1 forward, -1
 *  backward. */
typedef struct k_rope_args {
  rt_view pos;   /**< i32 [N, 1] */
  rt_view table; /**< real [positions, head_dim]: cos (hd/2), then sin (hd/2) */
  rt_view x;     /**< real [N, heads * head_dim] */
  int64_t head_dim;
  int direction;
} k_rope_args;

/** Causal grouped-query attention, o = softmax(scale q k^T) v, within each of
 *  \a batch sequences.  Query i of a sequence is at key position i + (t_k -
 *  t_q) and attends to the keys from doc_start up to its own position. */
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

/** y = silu(gate) * up, all [N, F].  y may share memory with gate or up. */
typedef struct k_swiglu_fwd_args {
  rt_view gate, up, y;
} k_swiglu_fwd_args;
/** All [N, F].  d_gate may share memory with gate, d_up with up. */
typedef struct k_swiglu_bwd_args {
  rt_view gate, up, dy, d_gate, d_up;
} k_swiglu_bwd_args;

/** Columns of the row statistics of a logit tile.  A logit of -inf (a masked
 *  id) is a probability p of 0, and adds 0 to every sum, also to those of
 *  p log p.  NaN and +inf make SUM NaN. */
enum {
  K_STAT_MAX,   /**< max over the true (unpadded) vocabulary of this tile */
  K_STAT_SUM,   /**< sum exp(z - max) */
  K_STAT_LABEL, /**< z[label]; 0 if another rank owns the label */
  K_STAT_DOT,   /**< sum_i t_i z[id_i] over the ids of this tile; for dense see
                   k_dense_stats_args */
  K_STAT_T_MAX, /**< dense: max of z_t / tau */
  K_STAT_T_SUM, /**< dense: sum exp(z_t / tau - t_max) */
  K_STAT_IDS,   /**< topk with spread: true ids with z > -inf, or NaN */
  K_N_STAT,
  // topk with spread uses the three before for sums over these ids
  K_STAT_EXP_Z = K_STAT_DOT, /**< sum exp(z - max) (z - max) */
  K_STAT_Z = K_STAT_T_MAX,   /**< sum (z - max) */
  K_STAT_ZZ = K_STAT_T_SUM   /**< sum (z - max)^2 */
};

/** Coefficients of a row's gradient: one row of a view f64 [n, K_N_COEF]. */
typedef struct k_coef {
  double lse;     /**< log-sum-exp of z over all tiles */
  double a;       /**< of the softmax: c_label + c_kd */
  double c_label; /**< of the one-hot label */
  double c_kd;    /**< of the teacher's target */
  double t_lse;   /**< dense: log-sum-exp of z_t / tau over all tiles */
} k_coef;
enum { K_N_COEF = sizeof(k_coef) / sizeof(double) };

/** First pass over a tile of student logits z with sparse targets: computes the
 *  statistics.  n is the number of rows of z.  Ids outside [v0, v0 + V) belong
 *  to other tp ranks and are ignored; columns with v0 + j >= v_true are padding
 *  and count as -inf.
 *
 *  What z holds afterwards is the backend's own business, and only its
 *  xent_grad may read it: the CPU leaves exp(z - max of this tile), and 0 in
 *  padding, as exponentials are its largest cost; a backend that is bound by
 *  memory would leave z and compute them again.  z_s and z_t of dense_stats
 *  likewise. */
typedef struct k_xent_stats_args {
  rt_view z;     /**< real [n, V] */
  rt_view label; /**< i32 [n, 1] */
  rt_view count; /**< i32 [n, 1] entries per row; absent: no entries */
  rt_view ids;   /**< i32 [n, K] */
  rt_view t;     /**< real [n, K] target probabilities */
  rt_view stats; /**< f64 [n, K_N_STAT] */
  int64_t v0, v_true;
} k_xent_stats_args;
/** Second pass: dz_v = a softmax_v - c_label [v == label] - c_kd sum_i t_i [v
 *  == id_i]; 0 in padding. */
typedef struct k_xent_grad_args {
  rt_view z;     /**< as xent_stats left it; what it holds later is undefined */
  rt_view label; /**< this and the next three as above */
  rt_view count, ids, t;
  rt_view stats; /**< of this tile */
  rt_view coef;  /**< f64 [n, K_N_COEF] */
  rt_view dz;    /**< [n, V]; each row may begin where that of z does */
  int64_t v0;
} k_xent_grad_args;

/** Like xent_stats, for a dense teacher tile z_t of the same shape.  K_STAT_DOT
 *  = sum_v exp(z_t / tau - t_max) (z_t / tau - z_s), from which the KL
 *  divergence follows; without \a kl it is the same sum with -z_s in place of
 *  (z_t / tau - z_s), from which the soft cross-entropy follows. */
typedef struct k_dense_stats_args {
  rt_view z_s, z_t; /**< real [n, V] */
  rt_view label;    /**< i32 [n, 1] */
  rt_view stats;    /**< f64 [n, K_N_STAT] */
  int64_t v0, v_true;
  double tau;
  bool kl;
} k_dense_stats_args;
/** dz = a softmax_s - c_label onehot - c_kd softmax_t. */
typedef struct k_dense_grad_args {
  rt_view z_s, z_t; /**< as dense_stats left them */
  rt_view label, stats, coef;
  rt_view dz; /**< as in xent_grad; may take the memory of z_s */
  int64_t v0;
} k_dense_grad_args;

/** Sums over tokens: a view f64 [1, K_N_LOSS]. */
typedef struct k_loss {
  double lm;      /**< cross-entropy with the text */
  double kd;      /**< KL(t || q), or soft cross-entropy */
  double entries; /**< teacher entries per token */
} k_loss;
enum { K_N_LOSS = sizeof(k_loss) / sizeof(double) };

/** Coefficients of the gradient from statistics of all shards, and the loss:
 *    c_label = weight (1 - alpha), c_kd = weight alpha if the token has a
 *  teacher's target, a = c_label + c_kd.  Adds to the sums in order of tokens.
 */
typedef struct k_loss_coef_args {
  rt_view stats;   /**< f64 [shards * n, K_N_STAT], shard by shard */
  rt_view weight;  /**< f64 [n, 1]: of a token over that of the whole step */
  rt_view entropy; /**< f64 [n, 1]: of its sparse target; absent: to be left
                      out of the loss */
  rt_view count;   /**< i32 [n, 1] entries per row; absent: no entries */
  rt_view coef;    /**< f64 [n, K_N_COEF] */
  rt_view loss;    /**< f64 [1, K_N_LOSS], added to */
  double alpha;
  bool dense; /**< the statistics are those of dense_stats */
  bool kl;    /**< as in dense_stats */
} k_loss_coef_args;

/** The K = ids.cols largest true logits of each row in descending order, ties
 *  by ascending id (fewer if the tile is narrower).  Ids are global.  stats:
 *  MAX, SUM and LABEL as in xent_stats; if \a spread, also IDS, EXP_Z, Z
 *  and ZZ, from which entropy and standard deviation follow.  z is not
 * modified. */
typedef struct k_topk_args {
  rt_view z;     /**< real [n, V] */
  rt_view label; /**< i32 [n, 1] */
  rt_view ids;   /**< i32 [n, K], padded with -1 */
  rt_view top;   /**< real [n, K] logits, padded with -inf */
  rt_view stats; /**< f64 [n, K_N_STAT] */
  int64_t v0, v_true;
  bool spread;
} k_topk_args;

/** What is known of a token beside its entries: one row of a view f64 [n,
 *  K_N_ABOUT]. */
typedef struct k_about {
  double lse;        /**< log-sum-exp of its logits */
  double label_logp; /**< log-prob of its label */
  double entropy;    /**< of the softmax, in nats; only with spread, else 0 */
  double deviation;  /**< standard deviation of the logits above -inf;
                          likewise */
} k_about;
enum { K_N_ABOUT = sizeof(k_about) / sizeof(double) };

/** What the merges of shards' results need to know of the logits. */
typedef struct k_logits {
  int64_t row, tok0; /**< of the first token: its row of the stream, and its
                        place there */
  bool spread;       /**< the statistics are those of topk with spread */
  bool finite; /**< logits that are not finite are an error (RT_ERR_DATA) */
} k_logits;

/** The entries of each token from the sorted lists of all shards: those kept by
 *  the rule (top-p, then top-k) of the K = best.cols likeliest, in descending
 *  order of log-prob in f32, ties by lower id; none has a logit of -inf.  The
 * places behind them hold -1 and -inf. */
typedef struct k_merge_topk_args {
  rt_view stats; /**< f64 [shards, n * K_N_STAT]: output of topk, one row per
                    shard, in order of ids */
  rt_view top;   /**< real [shards, n * K] */
  rt_view ids;   /**< i32 [shards, n * K] */
  rt_view count; /**< i32 [n, 1] */
  rt_view best;  /**< i32 [n, K] */
  rt_view logp;  /**< f32 [n, K] */
  rt_view about; /**< f64 [n, K_N_ABOUT], or absent */
  k_logits of;
  rt_truncation rule;
} k_merge_topk_args;

/** Entries [n, K] of tokens to targets t = softmax(logp / tau), 0 behind them,
 *  and the entropy of t in nats. */
typedef struct k_targets_args {
  rt_view count;   /**< i32 [n, 1] */
  rt_view logp;    /**< f32 [n, K] */
  rt_view t;       /**< real [n, K] */
  rt_view entropy; /**< f64 [n, 1] */
  double tau;
} k_targets_args;

/** The largest true element of each row, ties by lower id. */
typedef struct k_argmax_args {
  rt_view z;    /**< real [n, V] */
  rt_view id;   /**< i32 [n, 1], global */
  rt_view best; /**< f64 [n, 1] */
  int64_t v0, v_true;
} k_argmax_args;

/** The uniform random numbers of each token's K draws, ascending, in the units
 *  that draw takes: u < 0 if a draw falls into another shard than \a shard.
 *  Number d of token t of a row is a function of (seed, row, t K + d). */
typedef struct k_draw_numbers_args {
  rt_view stats; /**< f64 [shards, n * K_N_STAT], as in merge_topk */
  rt_view u;     /**< f64 [n, K] */
  uint64_t seed;
  int64_t row, tok0; /**< as in k_logits */
  int shard;
} k_draw_numbers_args;

/** Draw from the softmax.  For each u of a row, find the first id at which the
 *  running sum of exp(z - MAX) over the true elements, in ascending order of
 *  ids, exceeds u.  u < 0 (the draw belongs to another rank) gives -1; u >=
 *  SUM, which rounding can cause, gives the last element.  stats is the output
 *  of xent_stats or topk. */
typedef struct k_draw_args {
  rt_view z;     /**< real [n, V] */
  rt_view stats; /**< f64 [n, K_N_STAT] */
  rt_view u;     /**< f64 [n, K] in units of SUM; ascending, but for negative
                    ones */
  rt_view ids;   /**< i32 [n, K], global */
  int64_t v0, v_true;
} k_draw_args;

/** The entries of each token from its K draws: every id that was drawn, with
 *  log(times / K), in descending order, ties by lower id.  The places behind
 *  them as in merge_topk. */
typedef struct k_merge_draws_args {
  rt_view stats; /**< f64 [shards, n * K_N_STAT], as in merge_topk */
  rt_view ids;   /**< i32 [shards, n * K]: output of draw of each shard */
  rt_view count, best, logp, about; /**< as in merge_topk */
  k_logits of;
} k_merge_draws_args;

/** A run of elements of flat views, as one row of a view f64 [n, K_N_SEGMENT]:
 *  where it begins in each, which is exact below 2^53.  A table of all runs
 *  makes one launch of what would be one per tensor.  Runs do not overlap. */
typedef struct k_segment {
  double p, m, g, w;   /**< masters, both moments, gradients, weights */
  double n;            /**< elements */
  double weight_decay; /**< of AdamW */
  double sum; /**< the tensor in whose sum of squares it counts; < 0: none */
} k_segment;
enum { K_N_SEGMENT = sizeof(k_segment) / sizeof(double) };

/** out = sum x^2 in double over those segments that count, at their g.  Those
 *  of a tensor follow each other: first the sum of each segment, then of each
 *  tensor, then of all.  NaN and Inf propagate. */
typedef struct k_sumsq_args {
  rt_view x, segments, out; /**< f64 [1, 1] */
} k_sumsq_args;

/** Values that change every step; kernels read them through a pointer. */
typedef struct k_adamw_step {
  double lr;
  double grad_scale;   /**< clipping factor of the gradient */
  double bias1, bias2; /**< 1 - beta^t */
  double skip;         /**< if not 0, the kernel changes nothing */
} k_adamw_step;
/** What steps leave to those after them: a view f64 [1, K_N_CONTROL]. */
typedef struct k_control {
  double norm_mean; /**< running mean of the gradient norm; 0 at the start */
  double n_updates; /**< t of AdamW: steps that were not skipped */
  double n_skipped;
  double stopped; /**< if not 0, no later step changes anything */
} k_control;
enum { K_N_CONTROL = sizeof(k_control) / sizeof(double) };

/** What a step tells: a view f64 [1, K_N_TOLD]. */
typedef struct k_told {
  double loss, lm, kd, entries;
  double grad_norm;
  double bad; /**< not 0: NaN, Inf, a spike, or an earlier step has stopped */
  k_control control; /**< after the step */
} k_told;
enum { K_N_TOLD = sizeof(k_told) / sizeof(double) };

/** Is the step bad?  If not, clip its gradient and count it as an update;
 *  otherwise AdamW is to skip it.  All ranks compute the same from the same. */
typedef struct k_step_control_args {
  rt_view squares; /**< f64 [ranks, 1]: sums of squares, in order of ranks */
  rt_view loss;    /**< f64 [1, K_N_LOSS]: a k_loss of all rows */
  rt_view control; /**< f64 [1, K_N_CONTROL] */
  rt_view step;    /**< f64 [1, 5]: a k_adamw_step */
  rt_view told;    /**< f64 [1, K_N_TOLD] */
  double alpha, lr;
  double clip;  /**< largest norm; 0: any */
  double spike; /**< a norm above this times the mean is bad; 0: none */
  double beta1, beta2;
  bool stop; /**< a bad step stops all later ones */
} k_step_control_args;

/** AdamW with decoupled decay (Loshchilov & Hutter, alg. 2, as torch.optim):
 *  p -= lr wd p; m = b1 m + (1-b1) g; v = b2 v + (1-b2) g^2;
 *  p -= lr (m / bias1) / (sqrt(v / bias2) + eps); w = p, in each segment; other
 *  numbers stay. */
typedef struct k_adamw_args {
  rt_view p; /**< master weights */
  rt_view m, v, g;
  rt_view segments;
  rt_view step; /**< f64 [1, 5]: a k_adamw_step */
  rt_view w;    /**< weights; absent where p is the weights */
  double beta1, beta2, eps;
} k_adamw_args;

#endif
