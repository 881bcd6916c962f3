/** \file device_check.c
 *  The CPU as a lazy queue: kernels run only when somebody waits, so that a
 *  missing wait reads stale or poisoned bytes on the CPU already. */
#include "dev/device_impl.h"

#include <stdlib.h>
#include <string.h>

enum { POISON = 0xff, MOST_ARGS = 1024 }; // 0xff.. is a NaN of every real type

typedef struct call {
  k_id kernel;
  _Alignas(16) unsigned char args[MOST_ARGS];
} call;

typedef struct queue {
  call *calls; // owned [room], the first n_waiting are filled
  int64_t n_waiting, room;
  int64_t n_done;
} queue;

static queue *queue_of(rt_dev *dev)
{
  if (dev->queue == NULL)
    dev->queue = calloc(1, sizeof(queue));
  return dev->queue;
}

static void fail(rt_dev *dev, const char *what, const char *kernel)
{
  if (dev->ctx.err != RT_OK)
    return;
  dev->ctx.err = RT_ERR_INTERNAL;
  snprintf(dev->error, sizeof dev->error, "kernel %s: %s", kernel, what);
}

static bool view_is_sound(const rt_view *v)
{
  return v->data == NULL || (v->rows >= 0 && v->cols >= 0 && v->ld >= v->cols);
}

static void launch(rt_dev *dev, k_id kernel, const void *args)
{
  queue *q = queue_of(dev);
  const k_row *row = &k_table_cpu()[kernel];
  if (q != NULL && q->n_waiting == q->room) {
    const int64_t room = q->room == 0 ? 256 : 2 * q->room;
    call *more = realloc(q->calls, (size_t)room * sizeof *more);
    if (more != NULL) {
      q->calls = more;
      q->room = room;
    }
  }
  if (q == NULL || q->n_waiting == q->room || row->args_bytes > MOST_ARGS) {
    fail(dev, "no room in the queue", row->name);
    return;
  }
  call *c = &q->calls[q->n_waiting++];
  c->kernel = kernel;
  memcpy(c->args, args, row->args_bytes);
}

static void poison(const rt_view *v)
{
  const size_t size = rt_dtype_size(v->dtype);
  for (int64_t r = 0; v->data != NULL && r < v->rows; r++)
    memset((char *)v->data + (size_t)(r * v->ld) * size, POISON,
           (size_t)v->cols * size);
}

/** An output that shares its memory with an input is not poisoned. */
static bool aliases_input(const rt_view *views, const char *modes, size_t i)
{
  for (size_t k = 0; modes[k] != '\0'; k++)
    if (modes[k] != 'o' && views[k].data == views[i].data)
      return true;
  return false;
}

static void run_call(rt_dev *dev, call *c)
{
  const k_row *row = &k_table_cpu()[c->kernel];
  const rt_view *views = (const rt_view *)c->args; // views come first
  for (size_t i = 0; row->modes[i] != '\0'; i++) {
    if (!view_is_sound(&views[i]))
      fail(dev, "a view's ld is smaller than its columns", row->name);
    else if (row->modes[i] == 'o' && !aliases_input(views, row->modes, i))
      poison(&views[i]);
  }
  rt_dev_run(dev, c->kernel, c->args);
}

static void run_until(rt_dev *dev, int64_t at)
{
  queue *q = queue_of(dev);
  int64_t n = 0;
  while (q != NULL && n < q->n_waiting && q->n_done < at) {
    run_call(dev, &q->calls[n++]);
    q->n_done++;
  }
  if (n == 0)
    return;
  q->n_waiting -= n;
  memmove(q->calls, q->calls + n, (size_t)q->n_waiting * sizeof *q->calls);
}

static void clear(rt_dev *dev)
{
  queue *q = dev->queue;
  if (q != NULL)
    free(q->calls);
  free(q);
}

const rt_dev_backend rt_dev_check_backend = {"check", false,     POISON,
                                             launch,  run_until, clear};
