/** \file teacher_room.h
 *  What a kind of teacher fills in: the inside of the interface teacher.h.
 *  Layer: distill. */
#ifndef RT_TEACHER_ROOM_H
#define RT_TEACHER_ROOM_H

#include "distill/teacher/teacher.h"

typedef struct rt_teacher_room {
  int (*arenas)(void *self, const rt_arena *plans[4]);
  rt_err (*commit)(void *self, rt_job *job);
  rt_err (*begin)(void *self, rt_job *job, const rt_batch *b);
  rt_err (*chunk)(void *self, int64_t tok0, int64_t n, rt_view tile,
                  rt_targets *out);
  void (*destroy)(void *self);
} rt_teacher_room;

/** Each makes its own state; *self is owned by the teacher even after an
 *  error. */
RT_MUST rt_err rt_teacher_live_create(const rt_job *job, void **self);
RT_MUST rt_err rt_teacher_disk_create(const rt_job *job, void **self);
extern const rt_teacher_room rt_teacher_live_room, rt_teacher_disk_room;

/** The deck's truncation, with k at most V; or of draws, all of them. */
rt_truncation rt_teacher_rule(const rt_job *job);
/** Of a live teacher; N is 0 unless teacher.target is sampled. */
rt_draws rt_teacher_draws(const rt_job *job);

#endif
