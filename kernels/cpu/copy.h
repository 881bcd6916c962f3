/** \file copy.h
 *  Copies between f32 and bf16.  Layer: kernels. */
#ifndef K_COPY_H
#define K_COPY_H

#include "kernels/kernels.h"

/** to[0..n) = from[0..n).  The types are equal, or f32 and bf16; the ranges do
 *  not overlap. */
void k_copy_row(void *to, rt_dtype to_type, const void *from,
                rt_dtype from_type, int64_t n);

#endif
