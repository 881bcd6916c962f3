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

size_t rt_dtype_size(rt_dtype type);      /**< bytes of one element */
const char *rt_dtype_name(rt_dtype type); /**< "f32", "bf16", ... */

/** Convert \a n floating-point elements (f32, f64, bf16, f16), rounding to
 *  nearest even.  \a to and \a from must not overlap unless the types are
 *  equal. */
void rt_dtype_convert(void *to, rt_dtype to_type, const void *from,
                      rt_dtype from_type, size_t n);

#endif
