/** \file table_cpu.c
 *  The table of CPU kernels.  Each entry is a wrapper that checks the views
 *  before it calls the kernel. */
#include "kernels/check.h"
#include "kernels/cpu/attn_bf16.h"
#include "kernels/cpu/gemm.h"
#include "kernels/cpu/real.h"
#include "kernels/cpu/table_cpu.h"

// one function for all types
#define k_gemm_cpu_f32 k_gemm_cpu
#define k_gemm_cpu_f64 k_gemm_cpu
#define k_copy_cpu_f32 k_copy_cpu
#define k_copy_cpu_f64 k_copy_cpu
#define k_fill_cpu_f32 k_fill_cpu
#define k_fill_cpu_f64 k_fill_cpu
#define k_loss_coef_cpu_f32 k_loss_coef_cpu
#define k_loss_coef_cpu_f64 k_loss_coef_cpu
#define k_loss_coef_cpu_bf16 k_loss_coef_cpu
#define k_step_control_cpu_f32 k_step_control_cpu
#define k_step_control_cpu_f64 k_step_control_cpu
#define k_step_control_cpu_bf16 k_step_control_cpu
#define k_draw_numbers_cpu_f32 k_draw_numbers_cpu
#define k_draw_numbers_cpu_f64 k_draw_numbers_cpu
#define k_draw_numbers_cpu_bf16 k_draw_numbers_cpu
#define k_merge_draws_cpu_f32 k_merge_draws_cpu
#define k_merge_draws_cpu_f64 k_merge_draws_cpu
#define k_merge_draws_cpu_bf16 k_merge_draws_cpu
#define k_targets_cpu_f32 k_targets_cpu
#define k_targets_cpu_f64 k_targets_cpu
#define k_targets_cpu_bf16 k_targets_cpu
#define k_gemm_cpu_bf16 k_gemm_cpu
#define k_copy_cpu_bf16 k_copy_cpu
#define k_fill_cpu_bf16 k_fill_cpu

#define K_CHECKED(name, shapes, set, SET)                                      \
  static void k_##name##_cpu_##set##_checked(k_ctx *ctx, const void *args)     \
  {                                                                            \
    if (k_args_fit(ctx, shapes, SET, args))                                    \
      k_##name##_cpu_##set(ctx, args);                                         \
  }
#define K_ALL_CHECKED(name, modes, shapes)                                     \
  K_CHECKED(name, shapes, f32, K_SET_F32)                                      \
  K_CHECKED(name, shapes, f64, K_SET_F64)                                      \
  K_CHECKED(name, shapes, bf16, K_SET_BF16)
K_LIST(K_ALL_CHECKED)

#define K_ENTRY(name, modes, shapes)                                           \
  [K_##name] = {#name,                                                         \
                modes,                                                         \
                shapes,                                                        \
                {k_##name##_cpu_f32_checked, k_##name##_cpu_f64_checked,       \
                 k_##name##_cpu_bf16_checked},                                 \
                sizeof(k_##name##_args)},
static const k_row table[K_COUNT] = {K_LIST(K_ENTRY)};

const k_row *k_table_cpu(void)
{
  return table;
}

size_t k_workspace_cpu(const k_ctx *ctx, k_id kernel, const void *args)
{
  // tiles, block maxima and partial sums have a fixed size
  const size_t threads = (size_t)ctx->n_threads * K_THREAD_BYTES;
  switch (kernel) {
  case K_gemm:
    return k_gemm_bytes(ctx, args);
  case K_attn_fwd:
    return k_attn_fwd_bytes(ctx, args);
  case K_attn_bwd:
    return k_attn_bwd_bytes(ctx, args);
  case K_topk:
    return threads;
  case K_loss_coef: // what each token adds
    return (size_t)((const k_loss_coef_args *)args)->weight.rows *
           sizeof(k_loss);
  case K_merge_draws:
    return (size_t)ctx->n_threads * k_merge_draws_bytes(args);
  case K_targets: // a row of each thread in double
    return (size_t)ctx->n_threads *
           (size_t)((const k_targets_args *)args)->t.cols * sizeof(double);
  case K_sumsq: // a sum of each segment
    return (size_t)((const k_sumsq_args *)args)->segments.rows * sizeof(double);
  default:
    return 0;
  }
}
