/** \file table_cpu.h
 *  Declarations of the CPU kernels k_<op>_cpu_f32, _f64 and _bf16, which the
 *  *_real.c files define with K_KERNEL.
 *
 *  Layer: kernels. */
#ifndef K_TABLE_CPU_H
#define K_TABLE_CPU_H

#include "kernels/kernels.h"

#define K_DECLARE(name, modes, shapes)                                         \
  k_fn k_##name##_cpu_f32, k_##name##_cpu_f64, k_##name##_cpu_bf16;
K_LIST(K_DECLARE)
#undef K_DECLARE

/** One function for all types: these go by the types of the views. */
k_fn k_gemm_cpu, k_copy_cpu, k_fill_cpu, k_loss_coef_cpu, k_step_control_cpu,
    k_draw_numbers_cpu, k_merge_draws_cpu, k_targets_cpu;

/** Workspace of a thread. */
size_t k_merge_draws_bytes(const k_merge_draws_args *a);

#endif
