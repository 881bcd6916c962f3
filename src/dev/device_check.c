/** \file device_check.c
 *  The CPU with lazy queues: kernels run only when somebody waits for them, and
 *  work that another queue should wait for comes last, so a missing wait reads
 *  stale data or NaN. */
#include "dev/device_impl.h"

#include "kernels/check.h"
#include <stdlib.h>
#include <string.h>

enum { POISON = 0xff, MAX_ARGS = 1024 }; // 0xff.. is NaN in every real type

typedef enum sort { KERNEL, PUT, GET_START, PUT_START, CALL, WAIT } sort;

/** An entry of a queue. */
typedef struct entry {
  sort sort;
  k_id kernel;
  rt_view view;   // of a copy, on the device
  void *bytes;    // of a copy, on the host; owned by a put
  rt_dev_fn *fn;  // of a call, with the next member
  void *with;     // borrowed
  rt_queue other; // to wait for, until n pieces of its work are done
  int64_t n;
  _Alignas(16) unsigned char args[MAX_ARGS];
} entry;

typedef struct line {
  entry *entries; // owned [room]; [first, end) are to be done
  int64_t first, end, room;
  int64_t n_done; // pieces of work
} line;

typedef struct lines {
  line of[RT_N_QUEUES];
} lines;

static rt_err open_queues(rt_dev *dev)
{
  dev->queue = calloc(1, sizeof(lines));
  RT_CHECK(dev->queue != NULL, RT_ERR_MEM, "queues");
  return rt_dev_cpu_open(dev);
}

/** A call will not have its turn. */
static void lose(rt_dev_fn *fn, void *with)
{
  if (fn(with, RT_TURN_LOST) != RT_OK)
    rt_err_clear(); // nobody is there to be told
}

/** Forget all entries that are not done. */
static void drop(rt_dev *dev)
{
  lines *all = dev->queue;
  for (int i = 0; all != NULL && i < RT_N_QUEUES; i++) {
    line *q = &all->of[i];
    while (q->first < q->end) {
      const entry *e = &q->entries[q->first++];
      q->n_done += e->sort != WAIT;
      if (e->sort == PUT)
        free(e->bytes);
      if (e->sort == CALL)
        lose(e->fn, e->with);
    }
  }
}

static void close_queues(rt_dev *dev)
{
  lines *all = dev->queue;
  drop(dev);
  for (int i = 0; all != NULL && i < RT_N_QUEUES; i++)
    free(all->of[i].entries);
  free(all);
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

/** Room for one more entry; false if out of memory. */
static bool make_room(line *q)
{
  if (q->end < q->room)
    return true;
  if (q->first > q->room / 2) { // its first half is done
    q->end -= q->first;
    memmove(q->entries, q->entries + q->first,
            (size_t)q->end * sizeof *q->entries);
    q->first = 0;
    return true;
  }
  const int64_t room = q->room == 0 ? 256 : 2 * q->room;
  entry *more = realloc(q->entries, (size_t)room * sizeof *more);
  if (more == NULL)
    return false;
  q->entries = more;
  q->room = room;
  return true;
}

/** Append an entry; NULL if out of memory: then an error is kept. */
static entry *append(rt_dev *dev, rt_queue to, sort which)
{
  lines *all = dev->queue;
  line *q = &all->of[to];
  if (!make_room(q)) {
    rt_dev_fail(dev, RT_ERR_MEM, "check", "no room in the queue");
    return NULL;
  }
  entry *e = &q->entries[q->end++];
  e->sort = which;
  return e;
}

static bool launch(rt_dev *dev, k_id kernel, const void *args)
{
  const k_row *row = &k_table_cpu()[kernel];
  RT_ASSERT(row->args_bytes <= MAX_ARGS);
  entry *e = append(dev, RT_QUEUE_COMPUTE, KERNEL);
  if (e == NULL)
    return false;
  e->kernel = kernel;
  memcpy(e->args, args, row->args_bytes);
  return true;
}

static rt_err put(rt_dev *dev, const rt_view *to, const void *host)
{
  const size_t n = rt_view_bytes(to);
  void *bytes = malloc(n + 1);
  entry *e = bytes != NULL ? append(dev, RT_QUEUE_COMPUTE, PUT) : NULL;
  if (e == NULL) {
    free(bytes);
    return RT_FAIL(RT_ERR_MEM, "a copy of %zu bytes on its way", n);
  }
  memcpy(bytes, host, n);
  e->view = *to;
  e->bytes = bytes;
  return RT_OK;
}

static bool get_start(rt_dev *dev, rt_queue queue, void *pinned,
                      const rt_view *from)
{
  entry *e = append(dev, queue, GET_START);
  memset(pinned, POISON, rt_view_bytes(from));
  if (e == NULL)
    return false;
  e->view = *from;
  e->bytes = pinned;
  return true;
}

static bool put_start(rt_dev *dev, rt_queue queue, const rt_view *to,
                      const void *pinned)
{
  entry *e = append(dev, queue, PUT_START);
  if (e == NULL)
    return false;
  e->view = *to;
  e->bytes = (void *)pinned; // only read
  return true;
}

static bool call(rt_dev *dev, rt_queue queue, rt_dev_fn *fn, void *with)
{
  entry *e = append(dev, queue, CALL);
  if (e == NULL) {
    lose(fn, with);
    return false;
  }
  e->fn = fn;
  e->with = with;
  return true;
}

static void wait(rt_dev *dev, rt_queue queue, rt_queue other, int64_t n)
{
  entry *e = append(dev, queue, WAIT);
  if (e == NULL)
    return;
  e->other = other;
  e->n = n;
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

static void run_kernel(rt_dev *dev, const entry *c)
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

static void run(rt_dev *dev, const entry *e)
{
  switch (e->sort) {
  case KERNEL:
    run_kernel(dev, e);
    break;
  case PUT:
    memcpy(e->view.data, e->bytes, rt_view_bytes(&e->view));
    free(e->bytes);
    break;
  case GET_START:
    memcpy(e->bytes, e->view.data, rt_view_bytes(&e->view));
    break;
  case PUT_START:
    memcpy(e->view.data, e->bytes, rt_view_bytes(&e->view));
    break;
  case CALL:
    rt_dev_run_fn(dev, e->fn, e->with);
    break;
  case WAIT:
    break;
  }
}

/** May the next entry of the queue be done? */
static bool is_ready(const lines *all, const line *q)
{
  const entry *e = q->first < q->end ? &q->entries[q->first] : NULL;
  return e != NULL && (e->sort != WAIT || all->of[e->other].n_done >= e->n);
}

/** Queue \a q, or the one that it waits for at last; NULL: there is nothing to
 *  do, or they wait in a circle. */
static line *follow(lines *all, rt_queue q)
{
  for (int hops = 0; hops < RT_N_QUEUES; hops++) {
    line *l = &all->of[q];
    if (is_ready(all, l))
      return l;
    if (l->first == l->end)
      return NULL;
    q = l->entries[l->first].other;
  }
  return NULL;
}

/** The queue that goes on.  Kernels first: other work only where they, or the
 *  host, wait for it, so that what lacks a wait comes too late.  Kernels last:
 *  it comes too early. */
static line *choose(rt_dev *dev, const rt_event *event)
{
  lines *all = dev->queue;
  for (rt_queue q = RT_QUEUE_COMPUTE + 1; dev->kernels_last && q < RT_N_QUEUES;
       q++)
    if (is_ready(all, &all->of[q]))
      return &all->of[q];
  const line *const kernels = &all->of[RT_QUEUE_COMPUTE];
  if (kernels->first < kernels->end)
    return follow(all, RT_QUEUE_COMPUTE);
  for (rt_queue q = RT_QUEUE_COMPUTE + 1; q < RT_N_QUEUES; q++)
    if (all->of[q].n_done < event->must[q])
      return follow(all, q);
  return NULL;
}

static bool is_done(const lines *all, const rt_event *event)
{
  for (int q = 0; q < RT_N_QUEUES; q++)
    if (all->of[q].n_done < event->must[q])
      return false;
  return true;
}

/** Work until \a event is complete.  Stops after a call that has failed: other
 *  ranks may not come to the next one. */
static bool work(rt_dev *dev, const rt_event *event)
{
  lines *all = dev->queue;
  while (!is_done(all, event)) {
    line *q = choose(dev, event);
    if (q == NULL) {
      rt_dev_fail(dev, RT_ERR_INTERNAL, "check", "the queues wait in a circle");
      return false;
    }
    const rt_err before = dev->ctx.err;
    const entry *e = &q->entries[q->first++];
    q->n_done += e->sort != WAIT;
    run(dev, e);
    if (e->sort == CALL && before == RT_OK && dev->ctx.err != RT_OK)
      return false;
  }
  return true;
}

static void finish(rt_dev *dev, const rt_event *event)
{
  work(dev, event);
}

const rt_dev_backend rt_dev_check_backend = {.name = "check",
                                             .table = k_table_cpu,
                                             .workspace = k_workspace_cpu,
                                             .open = open_queues,
                                             .close = close_queues,
                                             .alloc = alloc,
                                             .release = rt_dev_cpu_release,
                                             .launch = launch,
                                             .put = put,
                                             .get_start = get_start,
                                             .put_start = put_start,
                                             .call = call,
                                             .wait = wait,
                                             .get = rt_dev_cpu_get,
                                             .pin = pin,
                                             .unpin = rt_dev_cpu_release,
                                             .finish = finish,
                                             .push = work,
                                             .drop = drop};
