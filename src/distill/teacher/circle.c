/** \file circle.c */
#include "distill/teacher/circle.h"

#include "base/split.h"

rt_err rt_circle_init(const rt_comm *world, const rt_grid *student,
                      const rt_grid *teacher, int64_t micro_rows, rt_circle *c)
{
  const int tp_s = student->tp, tp_t = teacher->tp;
  int size = tp_s;
  while (size % tp_t != 0)
    size += tp_s;
  const int place = student->rank % size;
  *c = (rt_circle){.n_student = size / tp_s,
                   .n_teacher = size / tp_t,
                   .i_student = place / tp_s,
                   .i_teacher = place / tp_t,
                   .micro_rows = micro_rows};
  return rt_comm_split(world, student->rank / size, place, &c->comm);
}

void rt_circle_clear(rt_circle *c)
{
  rt_comm_destroy(&c->comm);
}

bool rt_circle_is_one(const rt_circle *c)
{
  return c->n_student == 1 && c->n_teacher == 1;
}

int64_t rt_circle_rows(const rt_circle *c)
{
  return c->micro_rows * c->n_student;
}

int64_t rt_circle_first(const rt_circle *c, int i_teacher)
{
  return rt_split_begin(rt_circle_rows(c), c->n_teacher, i_teacher);
}

int64_t rt_circle_count(const rt_circle *c, int i_teacher)
{
  return rt_split_count(rt_circle_rows(c), c->n_teacher, i_teacher);
}

rt_err rt_circle_gather(const rt_circle *c, const void *mine, size_t bytes,
                        void *all)
{
  const int size = rt_comm_size(c->comm), each = size / c->n_student;
  size_t bytes_of[size];
  // loop over the first rank of each student group
  for (int i = 0; i < size; i++)
    bytes_of[i] = i % each == 0 ? bytes : 0;
  return rt_comm_allgatherv(c->comm, mine, bytes_of, all);
}

/** Ranks of a teacher group. */
static int64_t ranks_of_teacher(const rt_circle *c)
{
  return rt_comm_size(c->comm) / c->n_teacher;
}

int64_t rt_circle_part(const rt_circle *c, int64_t n)
{
  const int64_t ranks = ranks_of_teacher(c);
  return (n + ranks - 1) / ranks;
}

rt_view rt_circle_result(const rt_circle *c, rt_view board, int i_teacher)
{
  const int64_t ranks = ranks_of_teacher(c);
  const rt_view rows = rt_view_rows(board, i_teacher * ranks, ranks);
  return rt_view_of(rows.data, rows.dtype, 1, ranks * rows.cols);
}

rt_err rt_circle_share(const rt_circle *c, rt_dev *dev, rt_view board)
{
  return rt_comm_gather(c->comm, dev, board);
}

rt_circle_run rt_circle_run_at(const rt_circle *c, int64_t to)
{
  const int64_t row = c->i_student * c->micro_rows + to; // in the circle
  int g = 0;
  while (row >= rt_circle_first(c, g) + rt_circle_count(c, g))
    g++;
  const int64_t from = row - rt_circle_first(c, g);
  const int64_t left = rt_circle_count(c, g) - from;
  const int64_t wanted = c->micro_rows - to;
  return (rt_circle_run){g, from, to, left < wanted ? left : wanted};
}
