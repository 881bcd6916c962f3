/** \file grid.h
 *  The dp x tp arrangement of all ranks for one model: rank = i_dp * tp + i_tp.
 *
 *  Layer: par.  Teacher and student each have a grid over the same ranks. */
#ifndef RT_GRID_H
#define RT_GRID_H

#include "par/comm.h"

typedef struct rt_grid {
  int n_ranks, rank;
  int dp, tp, i_dp, i_tp;
  const rt_comm *world; // borrowed
  rt_comm *comm_tp;     // owned: the ranks that share this model replica
  rt_comm *comm_dp;     // owned: the ranks that hold the same tensor tiles
} rt_grid;

/** Collective over \a world, which must outlive the grid.  \a tp must divide
 *  its size; otherwise the message lists the valid values (\a what:
 *  "student.tp"). */
RT_MUST rt_err rt_grid_init(rt_grid *grid, const rt_comm *world, int tp,
                            const char *what);
void rt_grid_clear(rt_grid *grid);

#endif
