/** \file capture_teacher.h
 *  The teacher of a capture or a count: it turns rows of the training stream
 *  into sparse entries.  Layer: distill. */
#ifndef RT_CAPTURE_TEACHER_H
#define RT_CAPTURE_TEACHER_H

#include "distill/data/batch.h"
#include "distill/job/phases.h"
#include "distill/teacher/trunc_head.h"

/** All borrowed. */
typedef struct rt_capture_teacher_spec {
  const rt_comm *world;
  rt_model_spec model; /**< for one row at a time */
  rt_rows rows;        /**< with a corpus */
  rt_truncation rule;
  rt_draws draws;     /**< n 0: the rule's entries */
  bool statistics;    /**< entries have entropy and deviation */
  int64_t micro_rows; /**< maximum rows per call */
  double chunk_bytes; /**< size of the logit tile */
  rt_phases *phases;  /**< where its time is counted */
} rt_capture_teacher_spec;

typedef struct rt_capture_teacher {
  rt_capture_teacher_spec spec;
  rt_model *model;     // owned
  rt_trunc_head *head; // owned
  rt_batch *batch;     // owned: rows of the last call
  rt_entries entries;  // owned arrays: entries of these micro_rows * T tokens
} rt_capture_teacher;

/** Plan.  The caller clears \a t, also after an error.  Collective. */
RT_MUST rt_err rt_capture_teacher_plan(const rt_capture_teacher_spec *spec,
                                       rt_capture_teacher *t);
/** Memory in bytes on the host, in addition to the arenas of model and head. */
double rt_capture_teacher_beside(const rt_capture_teacher *t);
/** Allocate.  Collective; errors are agreed upon. */
RT_MUST rt_err rt_capture_teacher_commit(rt_capture_teacher *t);
/** Compute the entries of rows [first, first + n) of the stream.  Collective
 *  over tp. */
RT_MUST rt_err rt_capture_teacher_run(rt_capture_teacher *t, int64_t first,
                                      int64_t n);
void rt_capture_teacher_clear(rt_capture_teacher *t);

#endif
