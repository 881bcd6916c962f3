/** \file device.c
 *  Code common to all devices. */
#include "dev/device_impl.h"

#include "kernels/cpu/gemm.h"
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum { ALIGN = 64, HUGE_PAGE = 2 << 20 };

static const rt_dev_backend *find_backend(const char *kind)
{
  const rt_dev_backend *const all[] = {&rt_dev_cpu_backend,
                                       &rt_dev_check_backend};
  for (size_t i = 0; i < sizeof all / sizeof all[0]; i++)
    if (strcmp(kind, all[i]->name) == 0)
      return all[i];
  return NULL;
}

rt_err rt_dev_create(const char *kind, rt_dtype real, int n_threads,
                     rt_dev **out)
{
  *out = NULL;
  const rt_dev_backend *backend = find_backend(kind);
  RT_CHECK(backend != NULL, RT_ERR_CONFIG,
           "run.device is %s, but this build of retort supports cpu and check",
           kind);
  RT_CHECK(real == RT_F32 || real == RT_F64, RT_ERR_INTERNAL,
           "devices compute in f32 or f64, not %s", rt_dtype_name(real));
  rt_dev *dev = calloc(1, sizeof *dev);
  RT_CHECK(dev != NULL, RT_ERR_MEM, "a device");
  *out = dev;
  dev->backend = backend;
  dev->real = real;
  dev->ctx.n_threads = n_threads > 0 ? n_threads : 1;
  dev->ctx.workspace_bytes = k_workspace_bytes(dev->ctx.n_threads);
  dev->ctx.workspace = aligned_alloc(
      ALIGN, (dev->ctx.workspace_bytes + ALIGN - 1) / ALIGN * ALIGN);
  RT_CHECK(dev->ctx.workspace != NULL, RT_ERR_MEM,
           "a workspace of %zu bytes for %d threads", dev->ctx.workspace_bytes,
           dev->ctx.n_threads);
  return RT_OK;
}

void rt_dev_destroy(rt_dev **out)
{
  rt_dev *dev = *out;
  *out = NULL;
  if (dev == NULL)
    return;
  dev->backend->clear(dev);
  free(dev->ctx.workspace);
  free(dev);
}

rt_dtype rt_dev_real(const rt_dev *dev)
{
  return dev->real;
}

const char *rt_dev_name(const rt_dev *dev)
{
  return dev->backend->name;
}

void rt_dev_wake_library(char **argv)
{
  static const char variable[] = "OPENBLAS_CORETYPE";
  const char *const core = k_gemm_better_core();
  char self[PATH_MAX] = "";
  if (core == NULL || getenv(variable) != NULL ||
      setenv(variable, core, 1) != 0)
    return;
  // by its path, so that ps and pkill still know the program by its name
  if (readlink("/proc/self/exe", self, sizeof self - 1) > 0)
    execv(self, argv);
  execv("/proc/self/exe", argv); // replaced or removed since it was started
  unsetenv(variable);            // it could not be executed
}

const char *rt_dev_library(void)
{
  return k_gemm_library();
}

int rt_dev_threads(const rt_dev *dev)
{
  return dev->ctx.n_threads;
}

static void *alloc(void *self, size_t bytes)
{
  const rt_dev *dev = self;
  const size_t align = bytes >= HUGE_PAGE ? HUGE_PAGE : ALIGN;
  void *data = aligned_alloc(align, (bytes + align - 1) / align * align);
  if (data != NULL && align == HUGE_PAGE)
    madvise(data, bytes, MADV_HUGEPAGE); // fewer TLB misses; only a hint
  if (data != NULL && dev->backend->poison != 0)
    memset(data, dev->backend->poison, bytes);
  return data;
}

static void release(void *self, void *data)
{
  (void)self;
  free(data);
}

rt_arena_memory rt_dev_memory(rt_dev *dev)
{
  return (rt_arena_memory){alloc, release, dev};
}

void rt_dev_run(rt_dev *dev, k_id kernel, const void *args)
{
  const k_row *row = &k_table_cpu()[kernel];
  const rt_err before = dev->ctx.err;
  (dev->real == RT_F64 ? row->f64 : row->f32)(&dev->ctx, args);
  if (before == RT_OK && dev->ctx.err != RT_OK)
    snprintf(dev->error, sizeof dev->error, "kernel %s: %s", row->name,
             rt_err_text());
}

void rt_launch(rt_dev *dev, k_id kernel, const void *args)
{
  dev->backend->launch(dev, kernel, args);
  dev->n_launched++;
}

static rt_err finish(rt_dev *dev, int64_t at)
{
  dev->backend->run_until(dev, at);
  const rt_err err = dev->ctx.err;
  dev->ctx.err = RT_OK;
  RT_CHECK(err == RT_OK, err, "%s", dev->error);
  return RT_OK;
}

rt_err rt_dev_sync(rt_dev *dev)
{
  return finish(dev, dev->n_launched);
}

rt_event rt_dev_event(rt_dev *dev)
{
  return (rt_event){dev->n_launched};
}

rt_err rt_dev_event_wait(rt_dev *dev, rt_event event)
{
  return finish(dev, event.at);
}

bool rt_dev_on_host(const rt_dev *dev)
{
  return dev->backend->on_host;
}

rt_err rt_dev_put(rt_dev *dev, rt_view to, const void *host)
{
  RT_ASSERT(to.ld == to.cols || to.rows <= 1);
  RT_TRY(dev->backend->put(dev, &to, host));
  dev->n_launched++;
  return RT_OK;
}

rt_err rt_dev_get(rt_dev *dev, void *host, rt_view from)
{
  RT_ASSERT(from.ld == from.cols || from.rows <= 1);
  RT_TRY(rt_dev_sync(dev));
  memcpy(host, from.data, rt_view_bytes(&from));
  return RT_OK;
}
