/** \file grid.c
 *  The dp x tp grid of all ranks. */
#include "par/grid.h"

#include <stdio.h>

/** List the divisors of \a n, "1, 2, 4". */
static void list_divisors(int n, char *text, size_t room)
{
  size_t used = 0;
  text[0] = '\0';
  for (int d = 1; d <= n && used < room; d++)
    if (n % d == 0)
      used += (size_t)snprintf(text + used, room - used, "%s%d",
                               used > 0 ? ", " : "", d);
}

rt_err rt_grid_init(rt_grid *grid, const rt_comm *world, int tp,
                    const char *what)
{
  *grid = (rt_grid){.n_ranks = rt_comm_size(world),
                    .rank = rt_comm_rank(world),
                    .world = world};
  char valid[256];
  list_divisors(grid->n_ranks, valid, sizeof valid);
  RT_CHECK(tp >= 1 && grid->n_ranks % tp == 0, RT_ERR_CONFIG,
           "%s is %d, which does not divide the %d ranks: use one of %s, or "
           "another number of ranks",
           what, tp, grid->n_ranks, valid);
  grid->tp = tp;
  grid->dp = grid->n_ranks / tp;
  grid->i_tp = grid->rank % tp;
  grid->i_dp = grid->rank / tp;
  RT_TRY(rt_comm_split(world, grid->i_dp, grid->i_tp, &grid->comm_tp));
  return rt_comm_split(world, grid->i_tp, grid->i_dp, &grid->comm_dp);
}

void rt_grid_clear(rt_grid *grid)
{
  rt_comm_destroy(&grid->comm_dp);
  rt_comm_destroy(&grid->comm_tp);
  grid->world = NULL;
}
