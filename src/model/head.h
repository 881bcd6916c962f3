/** \file head.h
 *  The output head: logits of one vocabulary shard.  Layer: model. */
#ifndef RT_HEAD_H
#define RT_HEAD_H

#include "dev/device.h"

/** The head's weight tile [V_pad / tp, D], its gradient (the embedding's if
 *  tied), the first id of the tile, and the true V. */
typedef struct rt_head {
  rt_view w, g;
  int64_t v0, vocab;
} rt_head;

/** logits [n, V_pad / tp] = hidden [n, D] w^T.  Asynchronous. */
void rt_head_logits(rt_dev *dev, const rt_head *head, rt_view hidden,
                    rt_view logits);

#endif
