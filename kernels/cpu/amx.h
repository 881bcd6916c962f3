/** \file amx.h
 *  Products in bf16 by AMX, for kernels that multiply small blocks inside a
 *  parallel region.  Layer: kernels.  Only where k_amx_usable(). */
#ifndef K_AMX_H
#define K_AMX_H

#include "base/bf16.h"
#include "base/view.h"
#include <stdbool.h>

/** Sizes of products are multiples of it. */
enum { K_AMX_STEP = 32 };

/** Compile a function for processors that have AMX. */
#ifdef __x86_64__
#define K_AMX                                                                  \
  __attribute__((                                                              \
      target("amx-tile,amx-bf16,avx512f,avx512bw,avx512dq,avx512vl,"           \
             "avx512bf16,fma")))
#else
#define K_AMX
#endif

/** Does this processor have all that K_AMX names, and does the system give tile
 *  registers to this process?  It is asked for them, once for all threads. */
bool k_amx_usable(void);
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

/** c = alpha sums + beta c, of \a n numbers; c is not read if beta is 0. */
void k_amx_put_f32(const float *sums, int64_t n, float alpha, float beta,
                   float *c);
void k_amx_put_bf16(const float *sums, int64_t n, float alpha, float beta,
                    rt_bf16 *c);

/** Queries or keys of a block of scores, and numbers of its rows below. */
enum { K_AMX_BLOCK = 64 };
/** Keys [from, to) of a row that its query attends to; the others have no
 *  probability. */
typedef struct k_amx_range {
  int64_t from, to;
} k_amx_range;
/** p = exp(scale s - top), where *top rises to the largest scaled score.
 *  \return the sum of p before it was rounded */
float k_amx_softmax(const float *s, k_amx_range see, float scale, float *top,
                    rt_bf16 *p);
/** What a query's row of gradients needs: its log-sum-exp, sum of do o. */
typedef struct k_amx_row {
  float z, delta, scale;
} k_amx_row;
/** ds = scale p (dp - delta), p = exp(scale s - z). */
void k_amx_softmax_grad(const float *s, const float *dp, k_amx_range see,
                        const k_amx_row *r, rt_bf16 *ds);
/** The same of K_AMX_BLOCK queries, each of which attends to the keys
 * from..last. */
typedef struct k_amx_queries {
  const float *z, *delta;
  int32_t from[K_AMX_BLOCK], last[K_AMX_BLOCK];
  float scale;
} k_amx_queries;
/** A row of one key and all these queries: to[0] = p, to[1] = ds. */
void k_amx_softmax_grad_across(const float *s, const float *dp, int32_t key,
                               const k_amx_queries *q, rt_bf16 *to[2]);

#endif
