/** \file capture_size.h
 *  Predicted size of a dataset, for the plan, the check of disk space before a
 *  capture, and counts.  Layer: distill.  Not collective. */
#ifndef RT_CAPTURE_SIZE_H
#define RT_CAPTURE_SIZE_H

#include "io/logits/logits.h"

/** Bytes per token, including all fields. */
typedef struct rt_capture_size {
  double least;  /**< lower bound: no entries, and the shortest codes */
  double likely; /**< estimate measured on real text (doc/results/logits.md),
                    within a few percent there; exact for `exact` */
  double most;   /**< upper bound of the format */
} rt_capture_size;

/** For tokens with \a entries entries on average, and the encoding, vocabulary
 *  and optional fields of \a info. */
rt_capture_size rt_capture_size_of(const rt_logits_info *info, double entries);

#endif
