/** \file amx.h
 *  Products in bf16 by AMX, for kernels that multiply small blocks inside a
 *  parallel region.  Layer: kernels.  Only where k_amx_permitted(). */
#ifndef K_AMX_H
#define K_AMX_H

#include "base/bf16.h"
#include "base/view.h"
#include <stdbool.h>

/** Rows that are packed at once; sizes of products are multiples of the step.
 */
enum { K_AMX_BLOCK = 64, K_AMX_STEP = 32 };

/** Compile a function for processors that have AMX. */
#ifdef __x86_64__
#define K_AMX                                                                  \
  __attribute__((                                                              \
      target("amx-tile,amx-bf16,avx512f,avx512bw,avx512dq,avx512vl,fma")))
#else
#define K_AMX
#endif

/** Ask the system for the tile registers, once for all threads; false where it
 *  has none. */
bool k_amx_permitted(void);
/** Before and after products, on each thread. */
void k_amx_start(void);
void k_amx_end(void);

/** The second factor of a product, [k, n], in tiles of 32 terms and 16
 *  columns. */
typedef struct k_amx_factor {
  uint32_t *at;
  int64_t k_step, n_step; // from one tile to the next, in tiles
} k_amx_factor;

/** c = a b, or c += a b. */
typedef struct k_amx_product {
  const rt_bf16 *a;
  int64_t lda;
  k_amx_factor b;
  float *c;
  int64_t ldc;
  int64_t m, n, k;
  bool add;
} k_amx_product;
void k_amx_multiply(k_amx_product p);

/** The numbers of an operand as second factors: \a t rows of \a cols for each
 *  head, padded with zeros to multiples of K_AMX_STEP. */
typedef struct k_amx_area {
  uint32_t *at;
  int64_t t, cols;
} k_amx_area;
/** The factor whose columns are rows of the operand, from \a row on, and whose
 *  terms are its columns. */
k_amx_factor k_amx_across(const k_amx_area *s, int64_t head, int64_t row);
/** The factor whose terms are rows of the operand, from \a row on. */
k_amx_factor k_amx_along(const k_amx_area *s, int64_t head, int64_t row);
/** Pack a second factor [k, n], sizes in whole tiles, with zeros beyond \a x:
 *  its columns are rows of x, its terms columns of x; or the reverse. */
void k_amx_pack_across(rt_view x, const k_amx_factor *to, int64_t k, int64_t n);
void k_amx_pack_along(rt_view x, const k_amx_factor *to, int64_t k, int64_t n);
/** A first factor [m, ld] whose rows are columns of \a x, with zeros beyond it;
 *  m is a multiple of 16, ld of K_AMX_STEP. */
void k_amx_transpose(rt_view x, rt_bf16 *to, int64_t ld, int64_t m);

#endif
