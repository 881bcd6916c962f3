/** \file teacher.h
 *  A teacher gives the target of each token: sparse entries, or a dense tile of
 *  logits.  One interface, two kinds: teacher_live.c, teacher_disk.c.
 *  Layer: distill. */
#ifndef RT_TEACHER_H
#define RT_TEACHER_H

#include "distill/job/job.h"
#include "distill/data/batch.h"
#include "distill/teacher/targets.h"

typedef struct rt_teacher rt_teacher;

/** From the deck: NULL in *out when teacher.source is none.  Collective. */
RT_MUST rt_err rt_teacher_create(const rt_job *job, rt_teacher **out);
/** Plans of its memory; returns how many of at most 4. */
int rt_teacher_arenas(const rt_teacher *t, const rt_arena *plans[4]);
/** Bytes on the host that are in none of them. */
double rt_teacher_beside(const rt_teacher *t);
/** Allocate, and load a live teacher's weights.  Collective. */
RT_MUST rt_err rt_teacher_commit(rt_teacher *t, rt_job *job);
void rt_teacher_destroy(rt_teacher **t);
/** Does it fill dense tiles (teacher.target: full)? */
bool rt_teacher_dense(const rt_teacher *t);

/** A new micro-batch: a live teacher runs its forward.  Collective. */
RT_MUST rt_err rt_teacher_begin(rt_teacher *t, rt_job *job, const rt_batch *b);
/** Targets of a chunk.  Dense: \a tile [n, V_pad / tp] is filled with the
 *  teacher's logits in the student's layout; else \a tile is ignored. */
RT_MUST rt_err rt_teacher_chunk(rt_teacher *t, int64_t tok0, int64_t n,
                                rt_view tile, rt_targets *out);

#endif
