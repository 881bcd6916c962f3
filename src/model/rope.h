/** \file rope.h
 *  Angles of rotary positions.  Layer: model. */
#ifndef RT_ROPE_H
#define RT_ROPE_H

#include "base/model_shape.h"

/** Row of position \a pos into out [head_dim]: cos (head_dim / 2 of them), then
 *  sin, of pos theta^(-2i / head_dim), scaled as the shape says. */
void rt_rope_row(const rt_arch *arch, int64_t pos, double *out);

#endif
