/** \file h5_memory.h
 *  A driver of HDF5 whose file is in memory where it was written, and nowhere
 *  else.  For io/common/h5.c.  Layer: io. */
#ifndef RT_H5_MEMORY_H
#define RT_H5_MEMORY_H

#include <hdf5.h>
#include <stdint.h>

/** Such a file. */
typedef struct rt_h5_memory {
  int fd;      // owned by the caller: a file in memory, without the zeros after
  int64_t end; // its length
  int reason;  // errno of the first write that failed, 0 when none did
} rt_h5_memory;

/** Let files of \a fapl be \a m, borrowed until the file is closed. */
herr_t rt_h5_memory_use(hid_t fapl, rt_h5_memory *m);

#endif
