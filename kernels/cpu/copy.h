/** \file copy.h
 *  Copies between f32 and bf16.  Layer: kernels. */
#ifndef K_COPY_H
#define K_COPY_H

#include "kernels/kernels.h"

/** Copy between views of one shape.  Their types are equal, or f32 and bf16;
 *  they do not overlap. */
void k_copy_rows(k_ctx *ctx, rt_view to, rt_view from);

#endif
