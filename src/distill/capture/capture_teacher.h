/** \file capture_teacher.h
 *  The teacher of a capture or a count: rows of the training stream in, sparse
 *  entries out.  Layer: distill. */
#ifndef RT_CAPTURE_TEACHER_H
#define RT_CAPTURE_TEACHER_H

#include "distill/capture/capture.h"
#include "distill/teacher/trunc_head.h"

typedef struct rt_capture_teacher {
  rt_job *job;         // borrowed
  int64_t micro_rows;  // at most in one call
  rt_model *model;     // owned
  rt_trunc_head *head; // owned
  rt_batch *batch;     // owned: the rows of the last call
  rt_entries entries;  // owned arrays: and their entries, micro_rows * T tokens
} rt_capture_teacher;

/** Plan its memory and check it: rule, draws and fields of \a info.  \a t is
 *  to be cleared by the caller, even after an error.  Collective. */
RT_MUST rt_err rt_capture_teacher_plan(rt_job *job, const rt_logits_info *info,
                                       rt_capture_teacher *t);
/** Allocate.  Collective; errors are agreed upon. */
RT_MUST rt_err rt_capture_teacher_commit(const rt_logits_info *info,
                                         rt_capture_teacher *t);
/** Rows [first, first + n) of the stream.  Collective over tp. */
RT_MUST rt_err rt_capture_teacher_run(rt_capture_teacher *t, int64_t first,
                                      int64_t n);
void rt_capture_teacher_clear(rt_capture_teacher *t);

#endif
