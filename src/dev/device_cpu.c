/** \file device_cpu.c
 *  The CPU device: a launch runs the kernel at once. */
#include "dev/device_impl.h"

#include "base/host_memory.h"
#include "kernels/cpu/gemm.h"
#include <stdlib.h>
#include <string.h>

rt_err rt_dev_cpu_open(rt_dev *dev)
{
  return k_gemm_open(&dev->ctx.backend);
}

void rt_dev_cpu_close(rt_dev *dev)
{
  k_gemm_close(dev->ctx.backend);
}

void *rt_dev_cpu_alloc(rt_dev *dev, size_t bytes)
{
  (void)dev;
  return rt_host_alloc(bytes);
}

void rt_dev_cpu_release(rt_dev *dev, void *data)
{
  (void)dev;
  free(data);
}

void *rt_dev_cpu_pin(rt_dev *dev, size_t bytes)
{
  (void)dev;
  return malloc(bytes + 1);
}

static bool launch(rt_dev *dev, k_id kernel, const void *args)
{
  rt_dev_run(dev, kernel, args);
  return true;
}

static rt_err put(rt_dev *dev, const rt_view *to, const void *host)
{
  (void)dev;
  memcpy(to->data, host, rt_view_bytes(to));
  return RT_OK;
}

rt_err rt_dev_cpu_get(rt_dev *dev, void *host, const rt_view *from)
{
  (void)dev;
  memcpy(host, from->data, rt_view_bytes(from));
  return RT_OK;
}

static bool get_start(rt_dev *dev, rt_queue queue, void *pinned,
                      const rt_view *from)
{
  (void)dev;
  (void)queue;
  memcpy(pinned, from->data, rt_view_bytes(from));
  return true;
}

static bool put_start(rt_dev *dev, rt_queue queue, const rt_view *to,
                      const void *pinned)
{
  (void)dev;
  (void)queue;
  memcpy(to->data, pinned, rt_view_bytes(to));
  return true;
}

static bool call(rt_dev *dev, rt_queue queue, rt_dev_fn *fn, void *with)
{
  (void)queue;
  rt_dev_run_fn(dev, fn, with);
  return true;
}

static void wait(rt_dev *dev, rt_queue queue, rt_queue other, int64_t n)
{
  (void)dev; // all work is already complete
  (void)queue;
  (void)other;
  (void)n;
}

static void finish(rt_dev *dev, const rt_event *event)
{
  (void)dev;
  (void)event;
}

const rt_dev_backend rt_dev_cpu_backend = {.name = "cpu",
                                           .on_host = true,
                                           .at_once = true,
                                           .table = k_table_cpu,
                                           .workspace = k_workspace_cpu,
                                           .open = rt_dev_cpu_open,
                                           .close = rt_dev_cpu_close,
                                           .alloc = rt_dev_cpu_alloc,
                                           .release = rt_dev_cpu_release,
                                           .launch = launch,
                                           .put = put,
                                           .get = rt_dev_cpu_get,
                                           .pin = rt_dev_cpu_pin,
                                           .unpin = rt_dev_cpu_release,
                                           .get_start = get_start,
                                           .put_start = put_start,
                                           .call = call,
                                           .wait = wait,
                                           .finish = finish};
