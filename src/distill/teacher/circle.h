/** \file circle.h
 *  Where groups of a teacher and a student of unequal tp meet.  Layer: distill.
 *
 *  lcm(tp_s, tp_t) neighbouring ranks form a *circle*: whole student groups and
 *  whole teacher groups.  The circle's student rows are shared out over its
 *  teacher groups, and what these make of them comes back to every rank. */
#ifndef RT_CIRCLE_H
#define RT_CIRCLE_H

#include "distill/job/job.h"

typedef struct rt_circle {
  rt_comm *comm;            // owned
  int n_student, n_teacher; /**< groups in it */
  int i_student, i_teacher; /**< mine */
  int64_t micro_rows;       /**< of a student group */
} rt_circle;

/** Collective over all ranks. */
RT_MUST rt_err rt_circle_init(const rt_job *job, rt_circle *c);
void rt_circle_clear(rt_circle *c);
/** Equal tp: a group's rows are its own. */
bool rt_circle_is_one(const rt_circle *c);

/** Rows of all student groups: those of group i begin at i micro_rows. */
int64_t rt_circle_rows(const rt_circle *c);
/** The share of a teacher group: its first row, and how many. */
int64_t rt_circle_first(const rt_circle *c, int i_teacher);
int64_t rt_circle_count(const rt_circle *c, int i_teacher);

/** An array of \a bytes of every student group, in order of rows.  Collective
 *  over the circle, as is the next. */
RT_MUST rt_err rt_circle_gather(const rt_circle *c, const void *mine,
                                size_t bytes, void *all);
/** What every teacher group made of its share, \a row_bytes a row, in order of
 *  rows. */
RT_MUST rt_err rt_circle_share(const rt_circle *c, const void *mine,
                               size_t row_bytes, void *all);

#endif
