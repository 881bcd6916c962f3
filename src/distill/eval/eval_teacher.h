/** \file eval_teacher.h
 *  The teacher that an evaluation compares with: hidden states of the student's
 *  rows and a head in the student's layout, whatever its own tp and padding.
 *  Layer: distill.
 *
 *  Where both layouts are one, the rows and the head are the model's own.  Else
 *  the circle's rows are shared out (distill/teacher/circle.h), the hidden
 *  states come back, D numbers a token, not V logits, and each rank holds the
 *  rows of the teacher's head that belong to its tile of the student's. */
#ifndef RT_EVAL_TEACHER_H
#define RT_EVAL_TEACHER_H

#include "distill/job/job.h"
#include "distill/data/batch.h"

typedef struct rt_eval_teacher rt_eval_teacher;

/** \a student is borrowed.  Collective, as all below but the arenas, the comm
 *  and the head. */
RT_MUST rt_err rt_eval_teacher_create(rt_job *job, const rt_model *student,
                                      rt_eval_teacher **out);
/** Plans of its memory; returns how many of at most 3. */
int rt_eval_teacher_arenas(const rt_eval_teacher *t, const rt_arena *plans[3]);
RT_MUST rt_err rt_eval_teacher_commit(rt_eval_teacher *t);
void rt_eval_teacher_destroy(rt_eval_teacher **t);

/** The ranks that forward together; borrowed. */
const rt_comm *rt_eval_teacher_comm(const rt_eval_teacher *t);
/** \a b: the student's rows on the host; \a in: the same on the device, no rows
 *  of a group that has none left.
 *  \param[out] hidden  of these rows, [N, D]; borrowed until the next */
RT_MUST rt_err rt_eval_teacher_forward(rt_eval_teacher *t, const rt_batch *b,
                                       const rt_tokens_in *in, rt_view *hidden);
/** Tile of the student's ids. */
rt_head rt_eval_teacher_head(const rt_eval_teacher *t);

#endif
