/** \file device.c
 *  Code common to all devices. */
#include "dev/device_impl.h"

#include "kernels/check.h"
#include "kernels/cpu/gemm.h"
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <unistd.h>

static const rt_dev_backend *find_backend(const char *kind)
{
  const rt_dev_backend *const all[] = {&rt_dev_cpu_backend,
                                       &rt_dev_check_backend};
  for (size_t i = 0; i < sizeof all / sizeof all[0]; i++)
    if (strcmp(kind, all[i]->name) == 0)
      return all[i];
  return NULL;
}

rt_err rt_dev_create(const char *kind, int n_threads, rt_dev **out)
{
  *out = NULL;
  const rt_dev_backend *backend = find_backend(kind);
  RT_CHECK(backend != NULL, RT_ERR_CONFIG,
           "run.device is %s, but this build of retort supports cpu and check",
           kind);
  rt_dev *dev = calloc(1, sizeof *dev);
  RT_CHECK(dev != NULL, RT_ERR_MEM, "a device");
  *out = dev;
  dev->backend = backend;
  dev->ctx.n_threads = n_threads > 0 ? n_threads : 1;
  return backend->open(dev);
}

void rt_dev_destroy(rt_dev **out)
{
  rt_dev *dev = *out;
  *out = NULL;
  if (dev == NULL)
    return;
  if (dev->ctx.workspace != NULL)
    dev->backend->release(dev, dev->ctx.workspace);
  dev->backend->close(dev);
  free(dev);
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
  // AT_BASE is 0 if the user called the loader: it is what /proc/self/exe names
  if (core == NULL || getenv(variable) != NULL || getauxval(AT_BASE) == 0 ||
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

const char *rt_dev_library_f32(void)
{
  return k_gemm_f32_library();
}

const char *rt_dev_library_bf16(void)
{
  return k_gemm_bf16_library();
}

rt_err rt_dev_touch_library(const rt_dev *dev, rt_dtype type, int64_t side)
{
  // more rows are computed in pieces, and longer sums packed in parts
  const int64_t most[] = {4096, 1024, 1024};
  int64_t n[3];
  for (int i = 0; i < 3; i++)
    n[i] = side < most[i] ? side : most[i];
  return k_gemm_touch(&dev->ctx, type, n);
}

size_t rt_dev_library_bf16_bytes(const rt_dev *dev)
{
  return k_gemm_onednn_bytes(&dev->ctx);
}

static void *alloc(void *self, size_t bytes)
{
  rt_dev *dev = self;
  return dev->backend->alloc(dev, bytes);
}

static void release(void *self, void *data)
{
  rt_dev *dev = self;
  dev->backend->release(dev, data);
}

rt_arena_memory rt_dev_memory(rt_dev *dev)
{
  return (rt_arena_memory){alloc, release, dev};
}

void rt_dev_fail(rt_dev *dev, rt_err err, const char *name, const char *what)
{
  if (dev->ctx.err != RT_OK)
    return;
  dev->ctx.err = err;
  snprintf(dev->error, sizeof dev->error, "kernel %s: %s", name, what);
}

void rt_dev_run(rt_dev *dev, k_id kernel, const void *args)
{
  const k_row *row = &dev->backend->table()[kernel];
  const rt_err before = dev->ctx.err;
  row->fn[k_set_of(row->shapes, args)](&dev->ctx, args);
  if (before == RT_OK && dev->ctx.err != RT_OK)
    snprintf(dev->error, sizeof dev->error, "kernel %s: %s", row->name,
             rt_err_text());
}

void rt_dev_run_fn(rt_dev *dev, rt_dev_fn *fn, void *with)
{
  const rt_err err = fn(with, RT_TURN);
  if (err == RT_OK || dev->ctx.err != RT_OK)
    return;
  dev->ctx.err = err;
  snprintf(dev->error, sizeof dev->error, "%s", rt_err_text());
}

void rt_dev_plan(rt_dev *dev, k_id kernel, const void *args)
{
  const size_t bytes = dev->backend->workspace(&dev->ctx, kernel, args);
  dev->planned = bytes > dev->planned ? bytes : dev->planned;
}

size_t rt_dev_workspace(const rt_dev *dev)
{
  return dev->planned;
}

/** a = max(a, b), for each queue. */
static void raise(int64_t *a, const int64_t *b)
{
  for (int q = 0; q < RT_N_QUEUES; q++)
    a[q] = b[q] > a[q] ? b[q] : a[q];
}

/** Everything that is in the queues now. */
static rt_event everything(const rt_dev *dev)
{
  rt_event all = {0};
  raise(all.must, dev->n);
  raise(all.done, dev->n);
  return all;
}

/** Wait for everything; errors are kept. */
static void finish_all(rt_dev *dev)
{
  const rt_event all = everything(dev);
  dev->backend->finish(dev, &all);
}

/** Before work is appended to \a queue: append its waits. */
static void append_waits(rt_dev *dev, rt_queue queue)
{
  rt_event *const need = &dev->need[queue];
  for (rt_queue q = 0; q < RT_N_QUEUES; q++) {
    if (q == queue || need->must[q] <= dev->known[queue][q])
      continue;
    if (++dev->n_edges != dev->lost_edge)
      dev->backend->wait(dev, queue, q, need->must[q]);
  }
  raise(dev->known[queue], need->done);
  *need = (rt_event){0};
}

/** Give the kernels the planned workspace.  Those in the queue may use the one
 *  that is there. */
static void allocate_workspace(rt_dev *dev, const char *name)
{
  k_ctx *const ctx = &dev->ctx;
  char what[80];
  finish_all(dev);
  if (ctx->workspace != NULL)
    dev->backend->release(dev, ctx->workspace);
  ctx->workspace = dev->backend->alloc(dev, dev->planned);
  ctx->workspace_bytes = ctx->workspace != NULL ? dev->planned : 0;
  snprintf(what, sizeof what, "no memory for a workspace of %zu bytes",
           dev->planned);
  if (ctx->workspace == NULL)
    rt_dev_fail(dev, RT_ERR_MEM, name, what);
}

/** A kernel or copy has been appended, if there was room. */
static void count(rt_dev *dev, rt_queue queue, bool appended)
{
  dev->n[queue] += appended;
  dev->n_launches += appended;
}

void rt_launch(rt_dev *dev, k_id kernel, const void *args)
{
  const char *const name = dev->backend->table()[kernel].name;
  const size_t need = dev->backend->workspace(&dev->ctx, kernel, args);
  char what[80];
  snprintf(what, sizeof what, "needs %zu bytes of workspace, planned are %zu",
           need, dev->planned);
  if (need > dev->planned)
    rt_dev_fail(dev, RT_ERR_INTERNAL, name, what);
  else if (need > dev->ctx.workspace_bytes)
    allocate_workspace(dev, name);
  if (need > dev->ctx.workspace_bytes)
    return; // failed: the next wait tells
  append_waits(dev, RT_QUEUE_COMPUTE);
  count(dev, RT_QUEUE_COMPUTE, dev->backend->launch(dev, kernel, args));
}

void rt_dev_call(rt_dev *dev, rt_queue queue, rt_dev_fn *fn, void *with)
{
  append_waits(dev, queue);
  dev->n[queue] += dev->backend->call(dev, queue, fn, with);
}

rt_event rt_dev_event(rt_dev *dev, rt_queue queue)
{
  rt_event event = dev->need[queue]; // its next work would wait for these
  event.must[queue] = event.done[queue] = dev->n[queue];
  raise(event.done, dev->known[queue]);
  return event;
}

void rt_dev_wait(rt_dev *dev, rt_queue queue, rt_event event)
{
  raise(dev->need[queue].must, event.must);
  raise(dev->need[queue].done, event.done);
}

rt_err rt_dev_error(rt_dev *dev)
{
  const rt_err err = dev->ctx.err;
  dev->ctx.err = RT_OK;
  RT_CHECK(err == RT_OK, err, "%s", dev->error);
  return RT_OK;
}

/** After a wait of the host for \a event: all queues go on after it. */
static rt_err waited(rt_dev *dev, const rt_event *event)
{
  dev->n_waits += event->done[RT_QUEUE_COMPUTE] >= dev->n[RT_QUEUE_COMPUTE];
  for (int q = 0; q < RT_N_QUEUES; q++)
    raise(dev->known[q], event->done);
  return rt_dev_error(dev);
}

rt_err rt_dev_sync(rt_dev *dev)
{
  const rt_event all = everything(dev);
  finish_all(dev);
  return waited(dev, &all);
}

rt_err rt_dev_event_wait(rt_dev *dev, rt_event event)
{
  dev->backend->finish(dev, &event);
  return waited(dev, &event);
}

bool rt_dev_push(rt_dev *dev, rt_event event)
{
  return dev->backend->push == NULL || dev->backend->push(dev, &event);
}

void rt_dev_drop(rt_dev *dev)
{
  if (dev->backend->drop != NULL)
    dev->backend->drop(dev);
}

int64_t rt_dev_host_waits(const rt_dev *dev)
{
  return dev->n_waits;
}

int64_t rt_dev_launches(const rt_dev *dev)
{
  return dev->n_launches;
}

bool rt_dev_at_once(const rt_dev *dev)
{
  return dev->backend->at_once;
}

bool rt_dev_on_host(const rt_dev *dev)
{
  return dev->backend->on_host;
}

void *rt_dev_host(const rt_dev *dev, rt_view view)
{
  return dev->backend->on_host ? view.data : NULL;
}

/** A copy takes a contiguous view. */
static void check_copied(const rt_view *view)
{
  RT_ASSERT(view->ld == view->cols || view->rows <= 1);
}

rt_err rt_dev_put(rt_dev *dev, rt_view to, const void *host)
{
  check_copied(&to);
  append_waits(dev, RT_QUEUE_COMPUTE);
  RT_TRY(dev->backend->put(dev, &to, host));
  count(dev, RT_QUEUE_COMPUTE, true);
  return RT_OK;
}

rt_err rt_dev_get(rt_dev *dev, void *host, rt_view from)
{
  check_copied(&from);
  RT_TRY(rt_dev_event_wait(dev, rt_dev_event(dev, RT_QUEUE_COMPUTE)));
  return dev->backend->get(dev, host, &from);
}

void *rt_dev_pin(rt_dev *dev, size_t bytes)
{
  return dev->backend->pin(dev, bytes);
}

void rt_dev_unpin(rt_dev *dev, void *pinned)
{
  if (pinned != NULL)
    dev->backend->unpin(dev, pinned);
}

void rt_dev_get_start(rt_dev *dev, rt_queue queue, void *pinned, rt_view from)
{
  check_copied(&from);
  append_waits(dev, queue);
  count(dev, queue, dev->backend->get_start(dev, queue, pinned, &from));
}

void rt_dev_put_start(rt_dev *dev, rt_queue queue, rt_view to,
                      const void *pinned)
{
  check_copied(&to);
  append_waits(dev, queue);
  count(dev, queue, dev->backend->put_start(dev, queue, &to, pinned));
}
