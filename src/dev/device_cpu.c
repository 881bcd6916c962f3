/** \file device_cpu.c
 *  The CPU device: a launch runs the kernel at once. */
#include "dev/device_impl.h"

#include <string.h>

static void launch(rt_dev *dev, k_id kernel, const void *args)
{
  rt_dev_run(dev, kernel, args);
}

static rt_err put(rt_dev *dev, const rt_view *to, const void *host)
{
  (void)dev;
  memcpy(to->data, host, rt_view_bytes(to));
  return RT_OK;
}

static void run_until(rt_dev *dev, int64_t at)
{
  (void)dev; // all work is already complete
  (void)at;
}

static void clear(rt_dev *dev)
{
  (void)dev;
}

const rt_dev_backend rt_dev_cpu_backend = {.name = "cpu",
                                           .on_host = true,
                                           .launch = launch,
                                           .put = put,
                                           .run_until = run_until,
                                           .clear = clear};
