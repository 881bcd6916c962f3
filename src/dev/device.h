/** \file device.h
 *  Compute devices: memory, queues, events, kernel launches.
 *
 *  Layer: dev.  Backends: "cpu" executes a kernel inside rt_launch.  "check" is
 *  the same CPU with *lazy* queues: it copies the arguments and executes
 * kernels only while the host waits (sync, event_wait, get, push).  Just before
 * each kernel it fills the kernel's 'o' views with NaN, unless they share
 * memory with an input, and it verifies all views.  Kernels go ahead of the
 * other queues as far as waits allow.  A missing wait, of the host or of a
 * queue, thus fails a test on a CPU. */
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
/** What computes matrix products in f32, and in bf16. */
const char *rt_dev_library_f32(void);
const char *rt_dev_library_bf16(void);
/** Let the library of products take the memory that it keeps for those of a
 *  model with this type whose matrices have at most \a side rows and columns,
 *  so that it counts in the memory of this process. */
RT_MUST rt_err rt_dev_touch_library(const rt_dev *dev, rt_dtype type,
                                    int64_t side);
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

/** Work of a queue is done in order; of several, in any order that
 *  rt_dev_wait allows. */
typedef enum rt_queue {
  RT_QUEUE_COMPUTE, /**< kernels; copies whose data the host has at hand */
  RT_QUEUE_COMM,    /**< exchanges among ranks */
  RT_QUEUE_COPY,    /**< copies to the host */
  RT_N_QUEUES
} rt_queue;

/** A position in a queue: pieces of work of each queue. */
typedef struct rt_event {
  int64_t must[RT_N_QUEUES]; /**< it is reached when these are complete; all 0:
                                it always is */
  int64_t done[RT_N_QUEUES]; /**< these are complete by then */
} rt_event;
/** Behind all that is in \a queue now. */
rt_event rt_dev_event(rt_dev *dev, rt_queue queue);
/** What is appended to \a queue from now on starts after \a event.  The host
 *  does not wait.  Waits without work between them are one, and what is known
 *  to be complete is not waited for. */
void rt_dev_wait(rt_dev *dev, rt_queue queue, rt_event event);

/** Append a kernel to RT_QUEUE_COMPUTE, the one for the types of the views.  \a
 * args is copied.  Never waits.  The first error is kept, returned by the next
 * wait (sync, event_wait, get), and then cleared. */
void rt_launch(rt_dev *dev, k_id kernel, const void *args);
/** RT_RUN(dev, rmsnorm_fwd, .x = x, .w = w, ...) */
#define RT_RUN(dev, op, ...)                                                   \
  rt_launch((dev), K_##op, &(k_##op##_args){__VA_ARGS__})

/** Why a function in a queue is called. */
typedef enum rt_turn {
  RT_TURN,     /**< it is its turn */
  RT_TURN_LOST /**< there is none, as the work is dropped, the device is
                  destroyed or out of memory: only forget \c with */
} rt_turn;
/** A function of the host in a queue, e.g. an exchange among ranks. */
typedef rt_err rt_dev_fn(void *with, rt_turn turn);
/** Append a call of \a fn, which must not append anything itself.  It is called
 *  once.  Its error is kept as that of a kernel. */
void rt_dev_call(rt_dev *dev, rt_queue queue, rt_dev_fn *fn, void *with);

/** Wait for all work in all queues.  Returns the first error. */
RT_MUST rt_err rt_dev_sync(rt_dev *dev);
/** Wait until all work before the event is complete. */
RT_MUST rt_err rt_dev_event_wait(rt_dev *dev, rt_event event);
/** The first error of work that is complete, which is then cleared.  Waits for
 *  nothing. */
RT_MUST rt_err rt_dev_error(rt_dev *dev);
/** For a host that is about to wait for others, who may need the work before
 *  \a event: where only waits of the host make the device work (check), do that
 *  work.  Counts as no wait; false: it cannot be done, as there was an error.
 */
bool rt_dev_push(rt_dev *dev, rt_event event);

/** After an error, before memory is freed: forget the work in all queues that
 *  has not begun, and wait for the rest.  Not collective. */
void rt_dev_drop(rt_dev *dev);

/** Number of times that the host has waited for all in RT_QUEUE_COMPUTE, which
 *  leaves the device without a kernel: every sync and get, and waits for an
 *  event that no kernel follows, whether or not there was work left.  A wait
 * for an event with newer kernels in the queue does not count: the device goes
 *  on. */
int64_t rt_dev_host_waits(const rt_dev *dev);
/** Number of kernels and copies that were appended so far. */
int64_t rt_dev_launches(const rt_dev *dev);

/** Is all work complete when its launch returns?  The same on all ranks. */
bool rt_dev_at_once(const rt_dev *dev);

/** Is device memory accessible from the host?  If so, views may be used in
 *  place after rt_dev_sync, where a copy would be too large (checkpoints). */
bool rt_dev_on_host(const rt_dev *dev);

/** Where the host can access the contiguous \a view in place, under the
 *  conditions of rt_dev_on_host; NULL: only by copies. */
void *rt_dev_host(const rt_dev *dev, rt_view view);

/** Host <-> device copies in RT_QUEUE_COMPUTE; the device side is a contiguous
 *  view.  put reads \a host before it returns and waits for nothing; get
 *  waits for all work of that queue. */
RT_MUST rt_err rt_dev_put(rt_dev *dev, rt_view to, const void *host);
RT_MUST rt_err rt_dev_get(rt_dev *dev, void *host, rt_view from);

/** Memory of the host that copies in the queue may use (pinned, where the
 * device reads and writes it by itself); NULL: out of memory. */
void *rt_dev_pin(rt_dev *dev, size_t bytes);
/** NULL is accepted.  No copy may be in the queue. */
void rt_dev_unpin(rt_dev *dev, void *pinned);
/** Append a copy of a contiguous view to \a pinned, which is valid after a wait
 *  for a later event ("check" fills it with NaN until then).  Never waits; an
 *  error is told by the wait. */
void rt_dev_get_start(rt_dev *dev, rt_queue queue, void *pinned, rt_view from);
/** Append a copy to a contiguous view; \a pinned is read when it is its turn.
 */
void rt_dev_put_start(rt_dev *dev, rt_queue queue, rt_view to,
                      const void *pinned);

#endif
