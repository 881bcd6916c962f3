/** \file gather.c */
#include "par/gather.h"

rt_err rt_gather(const rt_comm *comm, rt_dev *dev, rt_view all, int64_t each)
{
  rt_pending *pending = NULL;
  if (rt_comm_size(comm) == 1)
    return RT_OK;
  if (all.dtype ==
      RT_I32) // a gather moves bits, so any type of 4 bytes will do
    all.dtype = RT_F32;
  const rt_parts parts = {.view = &all, .each = each};
  RT_TRY(
      rt_comm_gather_start(comm, dev, rt_dev_event(dev), &parts, 1, &pending));
  return rt_comm_finish(&pending);
}
