/** \file h5.h
 *  Writing HDF5 files.  Only the files io/common/h5*.c include hdf5.h.  Layer:
 *  io.
 *
 *  A new file is laid out in memory, because HDF5 itself ignores failed writes,
 *  and a rank that fails inside one of its collective writes blocks the others.
 *  The layout is saved through an rt_outfile, and any rank can write the bulk
 *  data at the offsets given by rt_h5_extents.  Files have format version 1.10
 *  (checksummed metadata) and no filters, so all data can also be read by
 *  pread.  Main thread only; nothing is collective.  io/common/h5_reader.h
 *  reads such files. */
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

/** Type and shape of a dataset.  Vectors have n_dims 1, shape [rows], and cols
 *  1. */
typedef struct rt_h5_shape {
  rt_dtype dtype; /**< f32, f64, u8, u32 or u64 */
  int n_dims;     /**< 1 or 2 */
  int64_t rows, cols;
  int64_t chunk_rows; /**< rows of a chunk, which spans all columns; 0:
                         contiguous */
} rt_h5_shape;

/** Size of a shape in bytes; false if it exceeds 63 bits. */
bool rt_h5_size_of(const rt_h5_shape *s, int64_t *bytes);
/** Describe a shape, "2-d 10 x 20 f32", in \a text [96]. */
const char *rt_h5_show(const rt_h5_shape *s, char *text);
/** Maximum number of chunks of a dataset: the time of HDF5 1.10 to report their
 *  offsets grows with its square. */
enum { RT_H5_MAX_CHUNKS = 1 << 14 };

/** Start to lay out a file.  \a path is for messages; nothing is created there
 *  yet. */
RT_MUST rt_err rt_h5_create(const char *path, rt_h5 **out);
/** Write the layout to \a to, except the extents \a raw [n_raw] (disjoint, in
 *  file order), which the caller writes.  Closes *h5. */
RT_MUST rt_err rt_h5_save(rt_h5 **h5, const rt_extent *raw, int64_t n_raw,
                          rt_outfile *to);
/** Discard the layout.  NULL is accepted. */
void rt_h5_close(rt_h5 **h5);

/** Create a dataset, its groups ("w/x": group w), and allocate its space in the
 *  file. */
RT_MUST rt_err rt_h5_declare(rt_h5 *h5, const char *name,
                             const rt_h5_shape *shape);
/** Write a small \a piece at (\a row0, \a col0) of the layout in memory. */
RT_MUST rt_err rt_h5_write(rt_h5 *h5, const char *name, int64_t row0,
                           int64_t col0, rt_view piece);

/** Extents of a dataset in the file: one, or one per chunk in order (each of
 *  chunk_rows * cols elements, including the last).  The caller frees the
 *  array; *n = 0 for an empty dataset. */
RT_MUST rt_err rt_h5_extents(const rt_h5 *h5, const char *name, rt_extent **out,
                             int64_t *n);

/** Attributes of the file (its root group). */
RT_MUST rt_err rt_h5_put_text(rt_h5 *h5, const char *name, const char *text);
RT_MUST rt_err rt_h5_put_int(rt_h5 *h5, const char *name, int64_t value);
RT_MUST rt_err rt_h5_put_real(rt_h5 *h5, const char *name, double value);

#endif
