/** \file rope.h
 *  Angles of rotary positions.  Layer: model. */
#ifndef RT_ROPE_H
#define RT_ROPE_H

#include "base/model_shape.h"

/** Row of position \a pos into out [head_dim]: cos (head_dim / 2 of them), then
 *  sin, of pos theta^(-2i / head_dim), scaled as the shape says. \a seq: T, the
 *  tokens of a row, which dynamic scaling depends on. */
void rt_rope_row(const rt_arch *arch, int64_t seq, int64_t pos, double *out);
/** The longest row that the model is made for: what linear and dynamic scaling
 *  stretch is max_positions (transformers: "don't update
 *  max_position_embeddings to the expected new maximum"). */
int64_t rt_rope_max_seq(const rt_arch *arch);

#endif
