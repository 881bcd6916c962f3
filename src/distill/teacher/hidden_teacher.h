/** \file hidden_teacher.h
 *  A teacher that provides hidden states of the student's rows and a head in
 *  the student's layout, for any tp and padding of its own.  Evaluations and
 *  dense targets use it.  Layer: distill/teacher.
 *
 *  If both layouts are the same, rows and head are the model's own.  Otherwise
 *  the rows of a circle are divided among its teacher groups (circle.h), and
 *  the hidden states are sent back: D numbers per token instead of V logits.
 *  Each rank holds the rows of the teacher's head that correspond to its tile
 *  of the student's. */
#ifndef RT_HIDDEN_TEACHER_H
#define RT_HIDDEN_TEACHER_H

#include "distill/data/batch.h"
#include "distill/teacher/teacher_model.h"
#include "model/model.h"

typedef struct rt_hidden_teacher rt_hidden_teacher;

/** \param name  in the memory plan; a literal.  Collective, as are all
 * functions below except for arenas, beside, comm and head. */
RT_MUST rt_err rt_hidden_teacher_create(const rt_teacher_model *model,
                                        const char *name,
                                        rt_hidden_teacher **out);
/** Plans of its memory; returns their number, at most 3. */
int rt_hidden_teacher_arenas(const rt_hidden_teacher *t,
                             const rt_arena *plans[3]);
/** Bytes on the host outside of these arenas. */
double rt_hidden_teacher_beside(const rt_hidden_teacher *t);
RT_MUST rt_err rt_hidden_teacher_commit(rt_hidden_teacher *t);
void rt_hidden_teacher_destroy(rt_hidden_teacher **t);

/** The ranks that run the forward together; borrowed. */
const rt_comm *rt_hidden_teacher_comm(const rt_hidden_teacher *t);
/** \a b: the student's rows on the host; \a in: the same on the device; a group
 *  without rows left passes none.
 *  \param[out] hidden  [N, D] of these rows, borrowed until the next call */
RT_MUST rt_err rt_hidden_teacher_forward(rt_hidden_teacher *t,
                                         const rt_batch *b,
                                         const rt_tokens_in *in,
                                         rt_view *hidden);
/** The teacher's head for the student's vocabulary tile. */
rt_head rt_hidden_teacher_head(const rt_hidden_teacher *t);

#endif
