/** \file h5_parts.h
 *  HDF5 itself, for the files of io/common that call it: h5.c writes, h5_look.c
 *  looks, h5_describe.c opens what comes from outside.  Layer: io. */
#ifndef RT_H5_PARTS_H
#define RT_H5_PARTS_H

#include "io/common/h5.h"
#include "io/common/h5_memory.h"
#include <hdf5.h>
#include <stdbool.h>

struct rt_h5 {
  hid_t file;
  bool writing;        // created by us, in memory
  rt_h5_memory memory; // owned, where it is written
  char path[];
};

/** Bad contents of \a name, although HDF5 is content. */
#define RT_H5_CHECK(condition, h5, name, ...)                                  \
  do {                                                                         \
    if (!(condition)) {                                                        \
      char why_[512];                                                          \
      snprintf(why_, sizeof why_, __VA_ARGS__);                                \
      return RT_FAIL(RT_ERR_DATA, "%s, %s: %s", (h5)->path, name, why_);       \
    }                                                                          \
  } while (0)

/** No file yet; messages call it \a path. */
RT_MUST rt_err rt_h5_new(const char *path, bool writing, rt_h5 **out);
/** A failed HDF5 call on \a name ("": on the file). */
rt_err rt_h5_failed(const rt_h5 *h5, const char *name, const char *what);

/** The HDF5 type of \a dtype, in the file and in memory alike (little-endian
 *  machines only, so that nothing is ever converted); < 0: not storable. */
hid_t rt_h5_type_of(rt_dtype dtype);

/** Open a dataset and look at it; the caller closes \a set.  No chunk cache: a
 *  piece of a chunk then costs its own bytes.  Anything but plain data (links
 *  elsewhere, filters, external or virtual storage, other types) is
 *  RT_ERR_DATA. */
RT_MUST rt_err rt_h5_open_set(const rt_h5 *h5, const char *name, hid_t *set,
                              rt_h5_shape *shape);
/** Where it lies: rt_h5_extents() of a set that is open; *out is the caller's
 *  to free, even after an error. */
RT_MUST rt_err rt_h5_find_extents(const rt_h5 *h5, const char *name, hid_t set,
                                  const rt_h5_shape *s, rt_extent **out,
                                  int64_t *n);

#endif
