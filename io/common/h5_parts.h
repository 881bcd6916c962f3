/** \file h5_parts.h
 *  Internals shared by the files of io/common that call HDF5: h5.c writes,
 *  h5_look.c queries, h5_describe.c opens untrusted files.  Layer: io. */
#ifndef RT_H5_PARTS_H
#define RT_H5_PARTS_H

#include "io/common/h5.h"
#include "io/common/h5_memory.h"
#include <hdf5.h>
#include <stdbool.h>

typedef enum rt_h5_use {
  RT_H5_READS,
  RT_H5_WRITES /**< in memory */
} rt_h5_use;

struct rt_h5 {
  hid_t file;
  rt_h5_use use;
  rt_h5_memory memory; // owned, if it writes
  char path[];
};

/** Check the contents of \a name where HDF5 itself reports no error. */
#define RT_H5_CHECK(condition, h5, name, ...)                                  \
  do {                                                                         \
    if (!(condition)) {                                                        \
      char why_[512];                                                          \
      snprintf(why_, sizeof why_, __VA_ARGS__);                                \
      return RT_FAIL(RT_ERR_DATA, "%s, %s: %s", (h5)->path, name, why_);       \
    }                                                                          \
  } while (0)

/** Create the handle without a file; messages call it \a path. */
RT_MUST rt_err rt_h5_new(const char *path, rt_h5_use use, rt_h5 **out);
/** Error for a failed HDF5 call on \a name ("": on the file). */
rt_err rt_h5_failed(const rt_h5 *h5, const char *name, const char *what);

/** The HDF5 type of \a dtype, the same in file and memory (little-endian
 *  machines only, so nothing is ever converted); < 0 if it cannot be stored. */
hid_t rt_h5_type_of(rt_dtype dtype);

/** Open a dataset and get its shape; the caller closes \a set.  There is no
 *  chunk cache, so that reading part of a chunk reads only its own bytes.
 *  Anything but plain data (links elsewhere, filters, external or virtual
 *  storage, other types) is RT_ERR_DATA. */
RT_MUST rt_err rt_h5_open_set(const rt_h5 *h5, const char *name, hid_t *set,
                              rt_h5_shape *shape);
/** Extents of an open dataset, like rt_h5_extents(); the caller frees *out,
 *  even after an error. */
RT_MUST rt_err rt_h5_find_extents(const rt_h5 *h5, const char *name, hid_t set,
                                  const rt_h5_shape *s, rt_extent **out,
                                  int64_t *n);

#endif
