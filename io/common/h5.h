/** \file h5.h
 *  The little of HDF5 that retort's files use.  The files io/common/h5*.c alone
 *  know hdf5.h.  Layer: io.
 *
 *  Here: writing, by one rank (\a comm = MPI_COMM_NULL) or by all ranks of a
 *  communicator, in format version 1.10 (checksummed metadata), unfiltered, so
 *  that any byte of data can also be read by pread.  Main thread only.
 *  io/common/h5_reader.h reads.
 *
 *  With a communicator every function is collective, with the same arguments
 *  (other than the piece of data) on every rank; a local failure must end the
 *  job, as the peers may wait inside HDF5. */
#ifndef RT_H5_H
#define RT_H5_H

#include "base/err.h"
#include "base/view.h"
#include "io/common/seal.h"
#include <mpi.h>
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

/** Create a file, or replace it. */
RT_MUST rt_err rt_h5_create(const char *path, MPI_Comm comm, rt_h5 **out);
/** Flush and close: the error that matters.  NULL is accepted. */
RT_MUST rt_err rt_h5_close(rt_h5 **h5);

/** Create a dataset, its groups ("w/x": group w) and its room in the file. */
RT_MUST rt_err rt_h5_declare(rt_h5 *h5, const char *name,
                             const rt_h5_shape *shape);
/** Write \a piece at (\a row0, \a col0); zero rows: nothing from this rank. */
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
