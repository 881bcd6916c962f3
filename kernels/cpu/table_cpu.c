/** \file table_cpu.c
 *  The table of CPU kernels.  Each entry is a wrapper that checks the views
 *  before it calls the kernel. */
#include "kernels/check.h"
#include "kernels/cpu/real.h"
#include "kernels/cpu/table_cpu.h"

#define k_gemm_cpu_f32 k_gemm_cpu
#define k_gemm_cpu_f64 k_gemm_cpu

#define K_CHECKED(name, modes, shapes)                                         \
  static void k_##name##_cpu_f32_checked(k_ctx *ctx, const void *args)         \
  {                                                                            \
    if (k_args_fit(ctx, shapes, RT_F32, args))                                 \
      k_##name##_cpu_f32(ctx, args);                                           \
  }                                                                            \
  static void k_##name##_cpu_f64_checked(k_ctx *ctx, const void *args)         \
  {                                                                            \
    if (k_args_fit(ctx, shapes, RT_F64, args))                                 \
      k_##name##_cpu_f64(ctx, args);                                           \
  }
K_LIST(K_CHECKED)

#define K_ENTRY(name, modes, shapes)                                           \
  [K_##name] = {#name,                                                         \
                modes,                                                         \
                shapes,                                                        \
                k_##name##_cpu_f32_checked,                                    \
                k_##name##_cpu_f64_checked,                                    \
                sizeof(k_##name##_args)},
static const k_row table[K_COUNT] = {K_LIST(K_ENTRY)};

const k_row *k_table_cpu(void)
{
  return table;
}

size_t k_workspace_cpu(k_id kernel, const void *args, int n_threads)
{
  (void)args; // tiles, block maxima and partial sums have a fixed size
  switch (kernel) {
  case K_attn_fwd:
  case K_attn_bwd:
  case K_topk:
    return (size_t)n_threads * K_THREAD_BYTES;
  case K_sumsq:
    return K_THREAD_BYTES;
  default:
    return 0;
  }
}
