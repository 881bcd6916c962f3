/** \file teacher.h
 *  A teacher provides the target of each token: sparse entries, or a dense tile
 *  of logits.  One interface with two implementations: teacher_live.c and
 *  teacher_disk.c.  Layer: distill. */
#ifndef RT_TEACHER_H
#define RT_TEACHER_H

#include "distill/job/job.h"
#include "distill/data/batch.h"
#include "distill/teacher/targets.h"

typedef struct rt_teacher rt_teacher;

/** Create the teacher of the deck; *out is NULL if teacher.source is none.
 *  Collective. */
RT_MUST rt_err rt_teacher_create(const rt_job *job, rt_teacher **out);
/** Plans of its memory; returns their number, at most 4. */
int rt_teacher_arenas(const rt_teacher *t, const rt_arena *plans[4]);
/** Memory in bytes on the host, in addition to these plans. */
double rt_teacher_beside(const rt_teacher *t);
/** Allocate, and load a live teacher's weights.  Collective. */
RT_MUST rt_err rt_teacher_commit(rt_teacher *t, rt_job *job);
void rt_teacher_destroy(rt_teacher **t);
/** Does it provide dense tiles (teacher.target: full)? */
bool rt_teacher_dense(const rt_teacher *t);

/** Make the targets of row \a r of a batch from its stored entries, into slot
 *  b->slot.  An rt_row_fn, with the teacher as self: the thread that reads the
 *  rows calls it before rt_teacher_begin().  Live teachers need none. */
RT_MUST rt_err rt_teacher_on_row(void *teacher, const rt_batch *b, int64_t r);
/** Start a micro-batch; a live teacher runs its forward.  Collective. */
RT_MUST rt_err rt_teacher_begin(rt_teacher *t, rt_job *job, const rt_batch *b);
/** Targets of a chunk of tokens.  Dense: \a tile [n, V_pad / tp] is filled with
 *  the teacher's logits in the student's layout; otherwise \a tile is ignored.
 */
RT_MUST rt_err rt_teacher_chunk(rt_teacher *t, int64_t tok0, int64_t n,
                                rt_view tile, rt_targets *out);

#endif
