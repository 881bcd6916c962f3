/** \file teacher_kind.h
 *  The functions that each kind of teacher implements; internal to teacher.h.
 *  Layer: distill/teacher. */
#ifndef RT_TEACHER_KIND_H
#define RT_TEACHER_KIND_H

#include "distill/teacher/teacher.h"

typedef struct rt_teacher_kind {
  int (*arenas)(void *self, const rt_arena *plans[4]);
  // bytes on the host, in addition to the arenas
  double (*beside)(const void *self);
  rt_err (*commit)(void *self);
  // with each row that the feed thread has read; NULL: not needed
  rt_row_fn *on_row;
  rt_err (*begin)(void *self, const rt_batch *b);
  rt_err (*chunk)(void *self, int64_t tok0, int64_t n, rt_view tile,
                  rt_targets *out);
  void (*destroy)(void *self);
} rt_teacher_kind;

/** Create the state of a teacher; the caller owns *self even after an error. */
RT_MUST rt_err rt_teacher_live_create(const rt_teacher_spec *spec, void **self);
RT_MUST rt_err rt_teacher_disk_create(const rt_teacher_spec *spec, void **self);
extern const rt_teacher_kind rt_teacher_live_kind, rt_teacher_disk_kind;

#endif
