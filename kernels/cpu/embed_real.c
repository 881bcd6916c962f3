/** \file embed_real.c
 *  Vocabulary-parallel embedding. */
#include "kernels/cpu/real.h"
#include "kernels/cpu/table_cpu.h"

K_KERNEL(k_embed_fwd_cpu_f32, k_embed_fwd_cpu_f64, k_embed_fwd_cpu_bf16)
{
  const k_embed_fwd_args *a = args;
  const int32_t *tok = a->tok.data;
  const size_t bytes = (size_t)a->y.cols * sizeof(k_low);
  K_PARALLEL_FOR
  for (int64_t n = 0; n < a->y.rows; n++) {
    const int64_t id = tok[n] - a->v0;
    if (id >= 0 && id < a->w.rows)
      memcpy(k_low_row(&a->y, n), k_low_row(&a->w, id), bytes);
    else
      memset(k_low_row(&a->y, n), 0, bytes);
  }
}

/** Threads divide the columns, so each element is summed in order of tokens. */
K_KERNEL(k_embed_bwd_cpu_f32, k_embed_bwd_cpu_f64, k_embed_bwd_cpu_bf16)
{
  const k_embed_bwd_args *a = args;
  enum { BLOCK = 64 };
  const int32_t *tok = a->tok.data;
  const int64_t n_blocks = (a->dy.cols + BLOCK - 1) / BLOCK;
  K_PARALLEL_FOR
  for (int64_t i = 0; i < n_blocks; i++) {
    const int64_t c0 = i * BLOCK;
    const int64_t c1 = c0 + BLOCK < a->dy.cols ? c0 + BLOCK : a->dy.cols;
    for (int64_t n = 0; n < a->dy.rows; n++) {
      const int64_t id = tok[n] - a->v0;
      if (id < 0 || id >= a->dw.rows)
        continue;
      const k_low *dy = k_low_row(&a->dy, n);
      real *dw = k_row_of(&a->dw, id);
      for (int64_t c = c0; c < c1; c++)
        dw[c] += k_get(dy[c]);
    }
  }
}
