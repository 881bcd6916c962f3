/** \file device_check.c
 *  The CPU as a lazy queue: kernels run only when somebody waits for them, so a
 *  missing wait reads stale data or NaN. */
#include "dev/device_impl.h"

#include "kernels/check.h"
#include <stdlib.h>
#include <string.h>

enum { POISON = 0xff, MAX_ARGS = 1024 }; // 0xff.. is NaN in every real type

typedef enum what { KERNEL, PUT, GET } what;

/** A kernel with its arguments, or a copy. */
typedef struct call {
  what what;
  k_id kernel;
  rt_view view; // of a copy, on the device
  void *bytes;  // of a copy, on the host; owned by a put
  _Alignas(16) unsigned char args[MAX_ARGS];
} call;

typedef struct queue {
  call *calls; // owned [room]; the first n_waiting are used
  int64_t n_waiting, room;
  int64_t n_done;
} queue;

static rt_err open_queue(rt_dev *dev)
{
  dev->queue = calloc(1, sizeof(queue));
  RT_CHECK(dev->queue != NULL, RT_ERR_MEM, "a queue");
  return rt_dev_cpu_open(dev);
}

static void close_queue(rt_dev *dev)
{
  queue *q = dev->queue;
  for (int64_t i = 0; q != NULL && i < q->n_waiting; i++)
    if (q->calls[i].what == PUT)
      free(q->calls[i].bytes);
  if (q != NULL)
    free(q->calls);
  free(q);
  rt_dev_cpu_close(dev);
}

static void *alloc(rt_dev *dev, size_t bytes)
{
  void *data = rt_dev_cpu_alloc(dev, bytes);
  if (data != NULL)
    memset(data, POISON, bytes);
  return data;
}

static void fail(rt_dev *dev, const char *kernel, int i_view, const char *fault)
{
  char what[80];
  snprintf(what, sizeof what, "view %d %s", i_view, fault);
  rt_dev_fail(dev, RT_ERR_INTERNAL, kernel, what);
}

static void *pin(rt_dev *dev, size_t bytes)
{
  void *data = rt_dev_cpu_pin(dev, bytes);
  if (data != NULL)
    memset(data, POISON, bytes);
  return data;
}

/** Append a call to the queue; NULL if out of memory. */
static call *append(rt_dev *dev, what what)
{
  queue *q = dev->queue;
  if (q->n_waiting == q->room) {
    const int64_t room = q->room == 0 ? 256 : 2 * q->room;
    call *more = realloc(q->calls, (size_t)room * sizeof *more);
    if (more == NULL)
      return NULL;
    q->calls = more;
    q->room = room;
  }
  call *c = &q->calls[q->n_waiting++];
  c->what = what;
  return c;
}

static void launch(rt_dev *dev, k_id kernel, const void *args)
{
  const k_row *row = &k_table_cpu()[kernel];
  RT_ASSERT(row->args_bytes <= MAX_ARGS);
  call *c = append(dev, KERNEL);
  if (c == NULL) {
    rt_dev_fail(dev, RT_ERR_MEM, row->name, "no room in the queue");
    return;
  }
  c->kernel = kernel;
  memcpy(c->args, args, row->args_bytes);
}

static rt_err put(rt_dev *dev, const rt_view *to, const void *host)
{
  const size_t n = rt_view_bytes(to);
  void *bytes = malloc(n + 1);
  call *c = bytes != NULL ? append(dev, PUT) : NULL;
  if (c == NULL) {
    free(bytes);
    return RT_FAIL(RT_ERR_MEM, "a copy of %zu bytes on its way", n);
  }
  memcpy(bytes, host, n);
  c->view = *to;
  c->bytes = bytes;
  return RT_OK;
}

static void get_start(rt_dev *dev, void *pinned, const rt_view *from)
{
  call *c = append(dev, GET);
  memset(pinned, POISON, rt_view_bytes(from));
  if (c == NULL) {
    rt_dev_fail(dev, RT_ERR_MEM, "copy to the host", "no room in the queue");
    return;
  }
  c->view = *from;
  c->bytes = pinned;
}

/** What is wrong with a view, or NULL.  An input may be absent (all zeros).  An
 *  output must be present unless the table says otherwise, and a view with a
 *  shape must have memory. */
static const char *fault_of(const rt_view *v, char mode, bool may_be_absent)
{
  if (v->rows < 0 || v->cols < 0)
    return "has a negative size";
  if (v->data == NULL && v->rows * v->cols > 0)
    return "has a shape but no memory";
  if (v->data == NULL && v->cols == 0 && mode != 'i' && !may_be_absent)
    return "is written but absent";
  if (v->ld < v->cols)
    return "has an ld smaller than its columns";
  return NULL;
}

static const char *end_of(const rt_view *v)
{
  if (v->data == NULL || v->rows == 0)
    return v->data;
  const int64_t n = (v->rows - 1) * v->ld + v->cols;
  return (const char *)v->data + (size_t)n * rt_dtype_size(v->dtype);
}

/** Does output \a i share memory with an input?  Then it is not filled with
 *  NaN. */
static bool meets_input(const rt_view *views, const char *modes, size_t i)
{
  const char *from = views[i].data, *to = end_of(&views[i]);
  for (size_t k = 0; modes[k] != '\0'; k++)
    if (modes[k] != 'o' && (const char *)views[k].data < to &&
        from < end_of(&views[k]))
      return true;
  return false;
}

static void poison(const rt_view *v)
{
  const size_t size = rt_dtype_size(v->dtype);
  for (int64_t r = 0; v->data != NULL && r < v->rows; r++)
    memset((char *)v->data + (size_t)(r * v->ld) * size, POISON,
           (size_t)v->cols * size);
}

static void run_kernel(rt_dev *dev, const call *c)
{
  const k_row *row = &k_table_cpu()[c->kernel];
  const rt_view *views = (const rt_view *)c->args;
  for (size_t i = 0; row->modes[i] != '\0'; i++) {
    const char *fault = fault_of(&views[i], row->modes[i],
                                 k_may_be_absent(row->shapes + 4 * i));
    if (fault != NULL) {
      fail(dev, row->name, (int)i, fault);
      return; // running the kernel would crash
    }
    if (row->modes[i] == 'o' && !meets_input(views, row->modes, i))
      poison(&views[i]);
  }
  rt_dev_run(dev, c->kernel, c->args);
}

static void run_call(rt_dev *dev, call *c)
{
  const size_t bytes = c->what == KERNEL ? 0 : rt_view_bytes(&c->view);
  if (c->what == KERNEL)
    run_kernel(dev, c);
  if (c->what == PUT) {
    memcpy(c->view.data, c->bytes, bytes);
    free(c->bytes);
  }
  if (c->what == GET)
    memcpy(c->bytes, c->view.data, bytes);
}

static void run_until(rt_dev *dev, int64_t at)
{
  queue *q = dev->queue;
  int64_t n = 0;
  for (; n < q->n_waiting && q->n_done < at; n++, q->n_done++)
    run_call(dev, &q->calls[n]);
  if (n == 0)
    return;
  q->n_waiting -= n;
  memmove(q->calls, q->calls + n, (size_t)q->n_waiting * sizeof *q->calls);
}

const rt_dev_backend rt_dev_check_backend = {.name = "check",
                                             .table = k_table_cpu,
                                             .workspace = k_workspace_cpu,
                                             .open = open_queue,
                                             .close = close_queue,
                                             .alloc = alloc,
                                             .release = rt_dev_cpu_release,
                                             .launch = launch,
                                             .put = put,
                                             .get = rt_dev_cpu_get,
                                             .pin = pin,
                                             .unpin = rt_dev_cpu_release,
                                             .get_start = get_start,
                                             .run_until = run_until};
