/** \file device_impl.h
 *  Internal interface of a device, implemented by each backend.  Layer: dev. */
#ifndef RT_DEVICE_IMPL_H
#define RT_DEVICE_IMPL_H

#include "dev/device.h"

typedef struct rt_dev_backend {
  const char *name;
  bool on_host; /**< see rt_dev_on_host; false for check, which stands in for a
                   GPU */
  unsigned char poison; /**< byte that fills new memory; 0: none */
  void (*launch)(rt_dev *dev, k_id kernel, const void *args);
  /** Copy to the device in queue order; \a host is read before it returns. */
  rt_err (*put)(rt_dev *dev, const rt_view *to, const void *host);
  /** Execute everything up to launch number \a at. */
  void (*run_until)(rt_dev *dev, int64_t at);
  void (*clear)(rt_dev *dev);
} rt_dev_backend;

extern const rt_dev_backend rt_dev_cpu_backend, rt_dev_check_backend;

struct rt_dev {
  const rt_dev_backend *backend;
  rt_dtype real;
  k_ctx ctx;          // its workspace is owned
  int64_t n_launched; /**< number of kernels and copies since the start */
  void *queue;        // owned by the backend
  char error[1024];   // text of ctx.err
};

/** Run one kernel now.  The first error is kept, with its text. */
void rt_dev_run(rt_dev *dev, k_id kernel, const void *args);

#endif
