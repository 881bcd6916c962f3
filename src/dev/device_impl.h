/** \file device_impl.h
 *  Internal interface of a device, implemented by each backend.  Layer: dev. */
#ifndef RT_DEVICE_IMPL_H
#define RT_DEVICE_IMPL_H

#include "dev/device.h"

/** What a backend provides.  All but \a table and \a workspace get the device,
 *  whose \c queue and \c ctx.backend are theirs to use, or \c ctx. */
typedef struct rt_dev_backend {
  const char *name;
  bool on_host; /**< see rt_dev_on_host; false for check, which stands in for a
                   GPU */
  bool at_once; /**< see rt_dev_at_once; false for check */
  const k_row *(*table)(void); /**< [K_COUNT], every row present */
  /** Bytes that a call needs in ctx.workspace; without data in the views. */
  size_t (*workspace)(const k_ctx *ctx, k_id kernel, const void *args);
  rt_err (*open)(rt_dev *dev); /**< the caller closes, also after an error */
  void (*close)(rt_dev *dev);
  void *(*alloc)(rt_dev *dev, size_t bytes); /**< not zeroed */
  void (*release)(rt_dev *dev, void *data);
  // Each of the next five appends a piece of work to a queue; what has none, to
  // RT_QUEUE_COMPUTE.  False: it is not in the queue, and an error is kept.
  bool (*launch)(rt_dev *dev, k_id kernel, const void *args);
  /** Copy to the device; \a host is read before it returns. */
  rt_err (*put)(rt_dev *dev, const rt_view *to, const void *host);
  bool (*get_start)(rt_dev *dev, rt_queue queue, void *pinned,
                    const rt_view *from);
  bool (*put_start)(rt_dev *dev, rt_queue queue, const rt_view *to,
                    const void *pinned);
  /** \a fn is told, RT_TURN_LOST, also if it is not in the queue. */
  bool (*call)(rt_dev *dev, rt_queue queue, rt_dev_fn *fn, void *with);
  /** What follows in \a queue starts after \a n pieces of work of \a other. */
  void (*wait)(rt_dev *dev, rt_queue queue, rt_queue other, int64_t n);
  /** Copy to the host; all work before it is complete. */
  rt_err (*get)(rt_dev *dev, void *host, const rt_view *from);
  void *(*pin)(rt_dev *dev, size_t bytes);
  void (*unpin)(rt_dev *dev, void *pinned);
  /** Wait until \a event is complete, or return after an error. */
  void (*finish)(rt_dev *dev, const rt_event *event);
  /** See rt_dev_push; NULL: the device works by itself. */
  bool (*push)(rt_dev *dev, const rt_event *event);
  /** See rt_dev_drop; NULL: nothing is ever in the queues. */
  void (*drop)(rt_dev *dev);
} rt_dev_backend;

extern const rt_dev_backend rt_dev_cpu_backend, rt_dev_check_backend;

struct rt_dev {
  const rt_dev_backend *backend;
  k_ctx ctx;      // its workspace is owned: allocated when first needed
  size_t planned; // bytes of workspace
  /** Of each queue: its pieces of work, and those of each queue that are
   * complete before its next one starts. */
  int64_t n[RT_N_QUEUES], known[RT_N_QUEUES][RT_N_QUEUES];
  rt_event need[RT_N_QUEUES]; /**< of each queue: its next waits */
  int64_t n_launches;         /**< kernels and copies since the start */
  int64_t n_waits;            /**< of the host, since the start */
  int64_t n_edges;            /**< waits of queues, since the start */
  // for tests, on check:
  int64_t lost_edge; /**< the number of a wait that is left out */
  bool kernels_last; /**< not before other queues, but behind them */
  void *queue;       // owned by the backend
  char error[1024];  // text of ctx.err
};

/** Run one kernel of the backend's table now.  The first error is kept, with
 *  its text. */
void rt_dev_run(rt_dev *dev, k_id kernel, const void *args);
/** Call a function now.  The first error is kept, with its text. */
void rt_dev_run_fn(rt_dev *dev, rt_dev_fn *fn, void *with);
/** Keep an error of kernel \a name, unless there is one already. */
void rt_dev_fail(rt_dev *dev, rt_err err, const char *name, const char *what);

/** Parts of "cpu" that "check" shares: ctx.backend, memory, aligned to huge
 * pages where it is large, and a copy to the host. */
rt_err rt_dev_cpu_open(rt_dev *dev);
void rt_dev_cpu_close(rt_dev *dev);
void *rt_dev_cpu_alloc(rt_dev *dev, size_t bytes);
void rt_dev_cpu_release(rt_dev *dev, void *data);
void *rt_dev_cpu_pin(rt_dev *dev, size_t bytes);
rt_err rt_dev_cpu_get(rt_dev *dev, void *host, const rt_view *from);

#endif
