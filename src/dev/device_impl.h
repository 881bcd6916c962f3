/** \file device_impl.h
 *  The inside of a device: what a backend fills in.  Layer: dev. */
#ifndef RT_DEVICE_IMPL_H
#define RT_DEVICE_IMPL_H

#include "dev/device.h"

typedef struct rt_dev_backend {
  const char *name;
  bool on_host; /**< see rt_dev_on_host; check says no, it stands for a GPU */
  unsigned char poison; /**< fill of fresh memory; 0 leaves it as it comes */
  void (*launch)(rt_dev *dev, k_id kernel, const void *args);
  /** Copy to the device in queue order; \a host is read at once. */
  rt_err (*put)(rt_dev *dev, const rt_view *to, const void *host);
  /** Do everything up to launch number \a at. */
  void (*run_until)(rt_dev *dev, int64_t at);
  void (*clear)(rt_dev *dev);
} rt_dev_backend;

extern const rt_dev_backend rt_dev_cpu_backend, rt_dev_check_backend;

struct rt_dev {
  const rt_dev_backend *backend;
  rt_dtype real;
  k_ctx ctx;          // its workspace is owned
  int64_t n_launched; /**< kernels and copies since the start */
  void *queue;        // owned by the backend
  char error[1024];   // text of ctx.err
};

/** Run one kernel now; a first error sticks with its text. */
void rt_dev_run(rt_dev *dev, k_id kernel, const void *args);

#endif
