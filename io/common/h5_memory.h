/** \file h5_memory.h
 *  An HDF5 file driver whose file exists in memory only.  For io/common/h5.c.
 *  Layer: io. */
#ifndef RT_H5_MEMORY_H
#define RT_H5_MEMORY_H

#include <hdf5.h>
#include <stdint.h>

/** A file in memory. */
typedef struct rt_h5_memory {
  int fd;       // owned by the caller: a memory file, without trailing zeros
  int64_t end;  // length of the file
  int reason;   // errno of the first failed write, 0 if none
  hid_t driver; // of the open file, 0 if none
} rt_h5_memory;

/** Make files opened with \a fapl use \a m, which is borrowed until they are
 *  closed. */
herr_t rt_h5_memory_use(hid_t fapl, rt_h5_memory *m);
/** Release the driver, after HDF5 has closed the file. */
void rt_h5_memory_leave(rt_h5_memory *m);

#endif
