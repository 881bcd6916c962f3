/** \file tp.c
 *  Sums over tp at the boundaries of tensor-parallel regions. */
#include "model/tp.h"

rt_err rt_tp_enter(const rt_grid *grid, rt_dev *dev, rt_view x, rt_pass pass)
{
  if (pass == RT_PASS_BACKWARD && grid->tp > 1)
    RT_TRY(rt_comm_allreduce(grid->comm_tp, dev, x, RT_SUM));
  return RT_OK;
}

rt_err rt_tp_exit(const rt_grid *grid, rt_dev *dev, rt_view y, rt_pass pass)
{
  if (pass == RT_PASS_FORWARD && grid->tp > 1)
    RT_TRY(rt_comm_allreduce(grid->comm_tp, dev, y, RT_SUM));
  return RT_OK;
}
