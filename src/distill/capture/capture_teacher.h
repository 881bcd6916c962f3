/** \file capture_teacher.h
 *  The teacher of a capture or a count: it turns rows of the training stream
 *  into sparse entries.  Layer: distill. */
#ifndef RT_CAPTURE_TEACHER_H
#define RT_CAPTURE_TEACHER_H

#include "distill/capture/capture.h"
#include "distill/teacher/trunc_head.h"

typedef struct rt_capture_teacher {
  rt_job *job;         // borrowed
  int64_t micro_rows;  // maximum rows per call
  rt_model *model;     // owned
  rt_trunc_head *head; // owned
  rt_batch *batch;     // owned: rows of the last call
  rt_entries entries;  // owned arrays: entries of these micro_rows * T tokens
} rt_capture_teacher;

/** Plan its memory with the rule, draws and fields of \a info, and check that
 *  it fits.  The caller clears \a t, also after an error.  Collective. */
RT_MUST rt_err rt_capture_teacher_plan(rt_job *job, const rt_logits_info *info,
                                       rt_capture_teacher *t);
/** Allocate.  Collective; errors are agreed upon. */
RT_MUST rt_err rt_capture_teacher_commit(const rt_logits_info *info,
                                         rt_capture_teacher *t);
/** Compute the entries of rows [first, first + n) of the stream.  Collective
 *  over tp. */
RT_MUST rt_err rt_capture_teacher_run(rt_capture_teacher *t, int64_t first,
                                      int64_t n);
void rt_capture_teacher_clear(rt_capture_teacher *t);

#endif
