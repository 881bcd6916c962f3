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
/** A board is a device buffer for the results of all teacher groups.  Each rank
 *  of a group, which all have the same results, sends an equal part of them:
 *  its row of the board.  Elements of such a row, if the largest result has \a
 *  n. */
int64_t rt_circle_part(const rt_circle *c, int64_t n);
/** The results of a group as one row. */
rt_view rt_circle_result(const rt_circle *c, rt_view board, int i_teacher);
/** Send those of this group to the whole circle, in the device's queue.
 *  Collective over the circle. */
RT_MUST rt_err rt_circle_share(const rt_circle *c, rt_dev *dev, rt_view board);

/** Rows of this student group that one teacher group has: rows [from, from + n)
 *  of that group's, which are rows [to, to + n) of the micro-batch. */
typedef struct rt_circle_run {
  int i_teacher;
  int64_t from, to, n;
} rt_circle_run;
/** The run that begins with row \a to of the micro-batch. */
rt_circle_run rt_circle_run_at(const rt_circle *c, int64_t to);

#endif
