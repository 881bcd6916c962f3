/** \file head.c */
#include "model/head.h"

#include <math.h>

void rt_head_logits(rt_dev *dev, const rt_head *head, rt_view hidden,
                    rt_view logits)
{
  RT_RUN(dev, gemm, .a = hidden, .b = head->w, .c = logits, .trans_b = true,
         .alpha = 1.0);
}
