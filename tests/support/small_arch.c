/** \file small_arch.c */
#include "support/small_arch.h"

rt_arch small_arch(int64_t vocab)
{
  return (rt_arch){.family = "llama",
                   .vocab = vocab,
                   .width = 16,
                   .n_blocks = 2,
                   .n_heads = 4,
                   .n_kv_heads = 4,
                   .head_dim = 4,
                   .ffn = 12,
                   .max_positions = 64,
                   .norm_eps = 1e-5,
                   .rope_theta = 1e4,
                   .tied = true,
                   .init_std = 0.3,
                   .bos_id = -1,
                   .eos_id = -1,
                   .pad_id = -1};
}
