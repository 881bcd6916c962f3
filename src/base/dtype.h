/** \file dtype.h
 *  Element types and their conversions.  Layer: base. */
#ifndef RT_DTYPE_H
#define RT_DTYPE_H

#include <stddef.h>
#include <stdint.h>

typedef enum rt_dtype {
  RT_F32,
  RT_F64,
  RT_BF16,
  RT_F16,
  RT_I32,
  RT_U8,
  RT_U16,
  RT_U32,
  RT_U64,
  RT_N_DTYPE
} rt_dtype;

/** The types of a model's numbers, by role. */
typedef struct rt_types {
  rt_dtype weight; /**< what matrix products and norms read */
  rt_dtype master; /**< what the optimizer updates; that of weight: no copy */
  rt_dtype grad;   /**< gradients of weights */
  rt_dtype act;    /**< activations and their gradients */
  rt_dtype stat;   /**< 1 / rms, log-sum-exp, rotary table, target probs */
  rt_dtype tile;   /**< logits */
  rt_dtype dtile;  /**< gradients of logits */
  rt_dtype moment; /**< of AdamW */
} rt_types;

/** The types of a model in \a type: RT_F32 or RT_F64 in every role; for RT_BF16
 *  weights, activations and gradients of logits are bf16, all else f32. */
rt_types rt_types_of(rt_dtype type);

size_t rt_dtype_size(rt_dtype type);      /**< bytes of one element */
const char *rt_dtype_name(rt_dtype type); /**< "f32", "bf16", ... */

/** Convert \a n floating-point elements (f32, f64, bf16, f16), rounding to
 *  nearest even.  \a to and \a from must not overlap unless the types are
 *  equal. */
void rt_dtype_convert(void *to, rt_dtype to_type, const void *from,
                      rt_dtype from_type, size_t n);

#endif
