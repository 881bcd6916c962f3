/** \file capture_size.h
 *  Bytes that a dataset takes, before it exists: for the plan, the look at the
 *  disk before a capture, and counts.  Layer: distill.  Not collective. */
#ifndef RT_CAPTURE_SIZE_H
#define RT_CAPTURE_SIZE_H

#include "io/logits/logits.h"

/** Of one token, all fields counted. */
typedef struct rt_capture_size {
  double least;  /**< whatever the entries are: none, and the shortest codes */
  double likely; /**< measured on real text (doc/results/logits.md), within a
                      few percent there; `exact`: exactly */
  double most;   /**< no record of the format is longer */
} rt_capture_size;

/** For tokens that have \a entries entries on average, encoded as \a info says:
 *  encoding, vocabulary, optional fields. */
rt_capture_size rt_capture_size_of(const rt_logits_info *info, double entries);

#endif
