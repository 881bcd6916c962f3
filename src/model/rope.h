/** \file rope.h
 *  Rotary position embedding.  Layer: model. */
#ifndef RT_ROPE_H
#define RT_ROPE_H

#include "base/model_shape.h"

/** Table row of position \a pos into \a out [head_dim]: head_dim / 2 cosines,
 *  then the sines, of pos theta^(-2i / head_dim), scaled as the shape says.  \a
 *  seq is T, the tokens per row, on which dynamic scaling depends. */
void rt_rope_row(const rt_arch *arch, int64_t seq, int64_t pos, double *out);
/** Longest row that the model supports.  Linear and dynamic scaling extend
 *  max_positions (transformers: "don't update max_position_embeddings to the
 *  expected new maximum"). */
int64_t rt_rope_max_seq(const rt_arch *arch);

#endif
