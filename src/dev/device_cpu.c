/** \file device_cpu.c
 *  The CPU: a launch is a call. */
#include "dev/device_impl.h"

static void launch(rt_dev *dev, k_id kernel, const void *args)
{
  rt_dev_run(dev, kernel, args);
}

static void run_until(rt_dev *dev, int64_t at)
{
  (void)dev; // all is done already
  (void)at;
}

static void clear(rt_dev *dev)
{
  (void)dev;
}

const rt_dev_backend rt_dev_cpu_backend = {"cpu",  true,      0,
                                           launch, run_until, clear};
