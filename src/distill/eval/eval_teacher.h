/** \file eval_teacher.h
 *  The teacher with which an evaluation compares: it provides hidden states of
 *  the student's rows and a head in the student's layout, for any tp and
 *  padding of its own.  Layer: distill.
 *
 *  If both layouts are the same, rows and head are the model's own.  Otherwise
 *  the rows of a circle are divided among its teacher groups
 *  (distill/teacher/circle.h), and the hidden states are sent back: D numbers
 *  per token instead of V logits.  Each rank holds the rows of the teacher's
 *  head that correspond to its tile of the student's. */
#ifndef RT_EVAL_TEACHER_H
#define RT_EVAL_TEACHER_H

#include "distill/job/job.h"
#include "distill/data/batch.h"

typedef struct rt_eval_teacher rt_eval_teacher;

/** \a student is borrowed.  Collective, as are all functions below except for
 *  arenas, comm and head. */
RT_MUST rt_err rt_eval_teacher_create(rt_job *job, const rt_model *student,
                                      rt_eval_teacher **out);
/** Plans of its memory; returns their number, at most 3. */
int rt_eval_teacher_arenas(const rt_eval_teacher *t, const rt_arena *plans[3]);
RT_MUST rt_err rt_eval_teacher_commit(rt_eval_teacher *t);
void rt_eval_teacher_destroy(rt_eval_teacher **t);

/** The ranks that run the forward together; borrowed. */
const rt_comm *rt_eval_teacher_comm(const rt_eval_teacher *t);
/** \a b: the student's rows on the host; \a in: the same on the device; a group
 *  without rows left passes none.
 *  \param[out] hidden  [N, D] of these rows, borrowed until the next call */
RT_MUST rt_err rt_eval_teacher_forward(rt_eval_teacher *t, const rt_batch *b,
                                       const rt_tokens_in *in, rt_view *hidden);
/** The teacher's head for the student's vocabulary tile. */
rt_head rt_eval_teacher_head(const rt_eval_teacher *t);

#endif
