/** \file device.h
 *  Compute devices: memory, queues, events, kernel launches.
 *
 *  Layer: dev.  Backends: "cpu" executes a kernel inside rt_launch.  "check" is
 *  the same CPU as a *lazy* queue: it copies the arguments and executes kernels
 *  only while the host waits (sync, event_wait, get).  Just before each
 *  kernel it fills the kernel's 'o' views with NaN, unless they share memory
 *  with an input, and it verifies all views.  A missing wait thus fails a test
 *  on a CPU. */
#ifndef RT_DEVICE_H
#define RT_DEVICE_H

#include "base/arena.h"
#include "base/err.h"
#include "kernels/kernels.h"

typedef struct rt_dev rt_dev;

/** Create a device.  \a kind is "cpu" or "check" ("cuda" is refused with a
 *  message until its backend exists).  The caller destroys *out, also after an
 *  error. */
RT_MUST rt_err rt_dev_create(const char *kind, int n_threads, rt_dev **out);
void rt_dev_destroy(rt_dev **dev);

const char *rt_dev_name(const rt_dev *dev);
/** Before MPI and threads start: if the BLAS library has chosen kernels far
 *  below this processor, execute this program again with the variable that
 *  makes it choose better.  Returns if nothing is to be gained, the user has
 *  set that variable, or the program cannot be executed again. */
void rt_dev_wake_library(char **argv);
/** Name and version of the BLAS library. */
const char *rt_dev_library(void);
/** What computes matrix products in bf16. */
const char *rt_dev_library_bf16(void);
/** Let the library of products take the memory that it keeps for those of a
 *  model whose matrices have at most \a side rows and columns, so that it
 * counts in the memory of this process. */
RT_MUST rt_err rt_dev_touch_library(const rt_dev *dev, int64_t side);
/** Memory that this library takes once it multiplies bf16, beside all that is
 *  planned. */
size_t rt_dev_library_bf16_bytes(const rt_dev *dev);

/** Memory functions for arenas on this device ("check" fills new memory with
 *  NaN). */
rt_arena_memory rt_dev_memory(rt_dev *dev);

/** Plan the workspace of a launch; the views of \a args need no data.  A launch
 *  that needs more than was planned fails, and the first one allocates what
 *  is planned so far, once for all kernels. */
void rt_dev_plan(rt_dev *dev, k_id kernel, const void *args);
/** RT_PLAN(dev, topk, .z = z, .ids = ids, ...) */
#define RT_PLAN(dev, op, ...)                                                  \
  rt_dev_plan((dev), K_##op, &(k_##op##_args){__VA_ARGS__})
/** The planned workspace in bytes. */
size_t rt_dev_workspace(const rt_dev *dev);

/** Append a kernel to the queue, the one for the types of the views.  \a args
 * is copied.  Never waits.  The first error is kept, returned by the next wait
 * (sync, event_wait, get), and then cleared. */
void rt_launch(rt_dev *dev, k_id kernel, const void *args);
/** RT_RUN(dev, rmsnorm_fwd, .x = x, .w = w, ...) */
#define RT_RUN(dev, op, ...)                                                   \
  rt_launch((dev), K_##op, &(k_##op##_args){__VA_ARGS__})

/** Wait for all work in the queue.  Returns the first kernel error. */
RT_MUST rt_err rt_dev_sync(rt_dev *dev);

/** A position in the queue. */
typedef struct rt_event {
  int64_t at; /**< number of launches and copies before it; 0: none */
} rt_event;
rt_event rt_dev_event(rt_dev *dev);
/** Wait until all work before the event is complete. */
RT_MUST rt_err rt_dev_event_wait(rt_dev *dev, rt_event event);

/** Number of times that the host has waited for everything in the queue, which
 *  leaves the device without work: every sync and get, and waits for an event
 *  that nothing follows, whether or not there was work left.  A wait for an
 *  event with newer work behind it does not count: the device goes on. */
int64_t rt_dev_host_waits(const rt_dev *dev);

/** Is all work complete when its launch returns?  The same on all ranks. */
bool rt_dev_at_once(const rt_dev *dev);

/** Is device memory accessible from the host?  If so, views may be used in
 *  place after rt_dev_sync, where a copy would be too large (checkpoints). */
bool rt_dev_on_host(const rt_dev *dev);

/** Where the host can access the contiguous \a view in place, under the
 *  conditions of rt_dev_on_host; NULL: only by copies. */
void *rt_dev_host(const rt_dev *dev, rt_view view);

/** Host <-> device copies, in queue order; the device side is a contiguous
 *  view.  put reads \a host before it returns and waits for nothing; get
 *  waits for all work. */
RT_MUST rt_err rt_dev_put(rt_dev *dev, rt_view to, const void *host);
RT_MUST rt_err rt_dev_get(rt_dev *dev, void *host, rt_view from);
/** A get that waits only for work before \a event. */
RT_MUST rt_err rt_dev_get_after(rt_dev *dev, rt_event event, void *host,
                                rt_view from);

/** Memory of the host that copies in the queue may use (pinned, where the device
 *  reads and writes it by itself); NULL: out of memory. */
void *rt_dev_pin(rt_dev *dev, size_t bytes);
/** NULL is accepted.  No copy may be in the queue. */
void rt_dev_unpin(rt_dev *dev, void *pinned);
/** Append a copy of a contiguous view to \a pinned, which is valid after a wait
 *  for a later event ("check" fills it with NaN until then).  Never waits; an
 *  error is told by the wait. */
void rt_dev_get_start(rt_dev *dev, void *pinned, rt_view from);

#endif
