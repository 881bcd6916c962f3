/** \file device.h
 *  Where numbers are computed: memory, queues, events, and launching kernels.
 *
 *  Layer: dev.  Backends: "cpu" runs a kernel inside rt_launch; "check" is the
 *  same CPU as a *lazy* queue: it copies the arguments and runs only at
 *  rt_dev_sync, rt_dev_get or rt_dev_event_wait, poisons 'o' views (NaN bytes)
 *  just before each kernel unless they share memory with an input, and verifies
 *  views; so a missing wait fails a CPU test. */
#ifndef RT_DEVICE_H
#define RT_DEVICE_H

#include "base/arena.h"
#include "base/err.h"
#include "kernels/kernels.h"

typedef struct rt_dev rt_dev;

/** Create a device.  \a kind: "cpu" or "check" ("cuda" is refused with one
 *  sentence until its backend is built in).  \a real: RT_F32 or RT_F64.
 *  The workspace for kernels has k_workspace_bytes(n_threads).  The caller
 *  destroys *out, also after an error. */
RT_MUST rt_err rt_dev_create(const char *kind, rt_dtype real, int n_threads,
                             rt_dev **out);
void rt_dev_destroy(rt_dev **dev);

rt_dtype rt_dev_real(const rt_dev *dev); /**< RT_F32 or RT_F64 */
const char *rt_dev_name(const rt_dev *dev);
/** Name and version of the library that multiplies matrices. */
const char *rt_dev_library(void);
int rt_dev_threads(const rt_dev *dev);

/** Memory functions for arenas on this device ("check" poisons at alloc). */
rt_arena_memory rt_dev_memory(rt_dev *dev);

/** Put a kernel on the queue. \a args is copied.  Never waits.  The first error
 *  sticks, comes out of the next wait (sync, event_wait, get), and is then
 *  forgotten. */
void rt_launch(rt_dev *dev, k_id kernel, const void *args);
/** RT_RUN(dev, rmsnorm_fwd, .x = x, .w = w, ...) */
#define RT_RUN(dev, op, ...)                                                   \
  rt_launch((dev), K_##op, &(k_##op##_args){__VA_ARGS__})

/** Wait for all work of the queue; returns the first kernel error. */
RT_MUST rt_err rt_dev_sync(rt_dev *dev);

/** A mark in the queue. */
typedef struct rt_event {
  int64_t at; /**< number of launches before it; 0 = none */
} rt_event;
rt_event rt_dev_event(rt_dev *dev);
/** Wait until all work before the event is done. */
RT_MUST rt_err rt_dev_event_wait(rt_dev *dev, rt_event event);

/** Is device memory the host's?  Then views may be used in place after a
 *  rt_dev_sync, where a copy of everything would be too much (checkpoints). */
bool rt_dev_on_host(const rt_dev *dev);

/** Host <-> device copies, in queue order; the device side is a contiguous
 *  view.  put reads \a host before it returns and waits for nothing; get
 *  waits for all work. */
RT_MUST rt_err rt_dev_put(rt_dev *dev, rt_view to, const void *host);
RT_MUST rt_err rt_dev_get(rt_dev *dev, void *host, rt_view from);

#endif
