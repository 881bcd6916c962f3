/** \file targets.h
 *  The targets that a teacher passes to the loss.  Layer: distill/teacher. */
#ifndef RT_TARGETS_H
#define RT_TARGETS_H

#include "base/view.h"

#include <stdbool.h>

/** Targets of tokens [tok0, tok0 + n) of the micro-batch, on the device. */
typedef struct rt_targets {
  rt_view count, ids, t; /**< sparse: i32 [n, 1], i32 [n, K], real [n, K] */
  rt_view entropy;       /**< sparse: f64 [n, 1] entropy of the target */
  bool dense;            /**< dense: the teacher wrote the given tile instead */
} rt_targets;

/** Rows on the host, each array [n_rows, T]; borrowed. */
typedef struct rt_host_rows {
  const int32_t *tok, *pos, *doc_start, *label;
  const int64_t *row; /**< [n_rows] index in the stream, for draws */
  int64_t n_rows;
} rt_host_rows;

#endif
