/** \file circle.h
 *  Communication between teacher and student if their tp differ.  Layer:
 *  distill.
 *
 *  lcm(tp_s, tp_t) neighbouring ranks form a *circle*, which consists of whole
 *  student groups and whole teacher groups.  The student rows of a circle are
 *  divided among its teacher groups, whose results are returned to every rank
 *  of the circle. */
#ifndef RT_CIRCLE_H
#define RT_CIRCLE_H

#include "par/grid.h"

typedef struct rt_circle {
  rt_comm *comm;            // owned
  int n_student, n_teacher; /**< numbers of groups in the circle */
  int i_student, i_teacher; /**< index of this rank's groups */
  int64_t micro_rows;       /**< rows of a student group's micro-batch */
} rt_circle;

/** \a micro_rows: rows of a student group's micro-batch.  Collective over \a
 *  world, the ranks of both grids. */
RT_MUST rt_err rt_circle_init(const rt_comm *world, const rt_grid *student,
                              const rt_grid *teacher, int64_t micro_rows,
                              rt_circle *c);
void rt_circle_clear(rt_circle *c);
/** Is tp equal, so that each circle is a single group? */
bool rt_circle_is_one(const rt_circle *c);

/** Number of rows of all student groups; those of group i start at i
 *  micro_rows. */
int64_t rt_circle_rows(const rt_circle *c);
/** The share of a teacher group: its first row, and its number of rows. */
int64_t rt_circle_first(const rt_circle *c, int i_teacher);
int64_t rt_circle_count(const rt_circle *c, int i_teacher);

/** All-gather an array of \a bytes of every student group, in order of rows.
 *  Collective over the circle. */
RT_MUST rt_err rt_circle_gather(const rt_circle *c, const void *mine,
                                size_t bytes, void *all);
/** All-gather the results of every teacher group, \a row_bytes per row, in
 *  order of rows.  Collective over the circle. */
RT_MUST rt_err rt_circle_share(const rt_circle *c, const void *mine,
                               size_t row_bytes, void *all);

#endif
