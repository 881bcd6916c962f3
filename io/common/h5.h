/** \file h5.h
 *  The little of HDF5 that retort's files use.  The files io/common/h5*.c alone
 *  know hdf5.h.  Layer: io.
 *
 *  Here: writing.  A new file is laid out in memory: HDF5 swallows a write that
 *  fails, or waits for ever inside a collective one, so that it writes to no
 *  disk.  What was laid out is saved through an rt_outfile, and the bulk of the
 *  data is put where rt_h5_extents says, by any rank.  Format version 1.10
 *  (checksummed metadata), unfiltered, so that any byte of data can also be
 * read by pread.  Main thread only; nothing is collective.
 *  io/common/h5_reader.h reads. */
#ifndef RT_H5_H
#define RT_H5_H

#include "base/err.h"
#include "base/outfile.h"
#include "base/view.h"
#include "io/common/seal.h"
#include <stdbool.h>

typedef struct rt_h5 rt_h5;

/** Version of the HDF5 library, "1.10.8". */
const char *rt_h5_version(void);

/** Type and shape of a dataset; vectors are n_dims 1, [rows] with cols 1. */
typedef struct rt_h5_shape {
  rt_dtype dtype; /**< f32, f64, u8, u32 or u64 */
  int n_dims;     /**< 1 or 2 */
  int64_t rows, cols;
  int64_t chunk_rows; /**< rows of a chunk, whole width; 0: contiguous */
} rt_h5_shape;

/** Bytes of a shape; false when they do not fit 63 bits. */
bool rt_h5_size_of(const rt_h5_shape *s, int64_t *bytes);
/** "2-d 10 x 20 f32", into \a text [96]. */
const char *rt_h5_show(const rt_h5_shape *s, char *text);
/** Chunks of a dataset at most: HDF5 1.10 takes time as the square of their
 *  number to tell where they lie. */
enum { RT_H5_MAX_CHUNKS = 1 << 14 };

/** Begin to lay out a file.  \a path is for messages: nothing is there yet. */
RT_MUST rt_err rt_h5_create(const char *path, rt_h5 **out);
/** Put what was laid out into \a to, but not the extents \a raw [n_raw], apart
 *  and in the order of the file: those are the caller's to put.  Closes *h5. */
RT_MUST rt_err rt_h5_save(rt_h5 **h5, const rt_extent *raw, int64_t n_raw,
                          rt_outfile *to);
/** Forget it.  NULL is accepted. */
void rt_h5_close(rt_h5 **h5);

/** Create a dataset, its groups ("w/x": group w) and its room in the file. */
RT_MUST rt_err rt_h5_declare(rt_h5 *h5, const char *name,
                             const rt_h5_shape *shape);
/** Write a small \a piece at (\a row0, \a col0) of the layout in memory. */
RT_MUST rt_err rt_h5_write(rt_h5 *h5, const char *name, int64_t row0,
                           int64_t col0, rt_view piece);

/** Where its data lies in the file: one extent, or one for each chunk in order
 *  (chunk_rows * cols elements, also the last).  Fresh array, the caller frees;
 *  *n = 0 for a dataset of no elements. */
RT_MUST rt_err rt_h5_extents(const rt_h5 *h5, const char *name, rt_extent **out,
                             int64_t *n);

/** Attributes of the file (its root group). */
RT_MUST rt_err rt_h5_put_text(rt_h5 *h5, const char *name, const char *text);
RT_MUST rt_err rt_h5_put_int(rt_h5 *h5, const char *name, int64_t value);
RT_MUST rt_err rt_h5_put_real(rt_h5 *h5, const char *name, double value);

#endif
