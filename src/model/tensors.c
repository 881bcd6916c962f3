/** \file tensors.c
 *  Evaluates the table in tensors.h for one shape. */
#include "model/tensors.h"

#include <math.h>

/** Initial values of a tensor, as named in the table. */
typedef enum start {
  START_NORMAL,
  START_RESIDUAL,
  START_ONES,
  START_ZEROS
} start;

static rt_tensor row(const rt_arch *a, rt_tensor t, start how)
{
  t.vector = t.rows == 0;
  if (t.vector)
    t.rows = 1;
  t.init = how == START_ONES    ? RT_INIT_ONES
           : how == START_ZEROS ? RT_INIT_ZEROS
                                : RT_INIT_NORMAL;
  // each block adds twice to the residual stream: keep its variance independent
  // of depth (GPT-2)
  t.init_std = how == START_NORMAL ? a->init_std
               : how == START_RESIDUAL
                   ? a->init_std / sqrt(2.0 * (double)a->n_blocks)
                   : 0.0;
  return t;
}

void rt_tensors_of(const rt_arch *a, rt_tensor out[RT_N_TENSORS])
{
  const int64_t D = a->width, F = a->ffn, V = a->vocab;
  const int64_t Q = a->n_heads * a->head_dim, G = a->n_kv_heads * a->head_dim;
#define ROW(id, name_, place_, present_, rows_, cols_, split_, init_, decay_)  \
  out[RT_TENSOR_##id] = row(a,                                                 \
                            (rt_tensor){.name = (name_),                       \
                                        .place = RT_AT_##place_,               \
                                        .present = (present_),                 \
                                        .rows = (rows_),                       \
                                        .cols = (cols_),                       \
                                        .split = RT_SPLIT_##split_,            \
                                        .decay = (decay_)},                    \
                            START_##init_);
  RT_TENSOR_LIST(ROW)
#undef ROW
}

rt_tensor_id rt_tensor_before(rt_tensor_id id)
{
  switch (id) {
  case RT_TENSOR_K:
    return RT_TENSOR_Q;
  case RT_TENSOR_V:
    return RT_TENSOR_K;
  case RT_TENSOR_UP:
    return RT_TENSOR_GATE;
  case RT_TENSOR_K_BIAS:
    return RT_TENSOR_Q_BIAS;
  case RT_TENSOR_V_BIAS:
    return RT_TENSOR_K_BIAS;
  case RT_TENSOR_UP_BIAS:
    return RT_TENSOR_GATE_BIAS;
  default:
    return id;
  }
}
