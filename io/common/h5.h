/** \file h5.h
 *  The little of HDF5 that retort's files use.  io/common/h5.c is the only file
 * that knows hdf5.h.  Layer: io.
 *
 *  Files are written by one rank (\a comm = MPI_COMM_NULL) or by all ranks of a
 *  communicator, in format version 1.10 (checksummed metadata), unfiltered, so
 *  that any byte of data can also be read by pread.  Main thread only.
 *
 *  With a communicator every function that writes is collective, with the same
 *  arguments (other than the piece of data) on every rank; a local failure must
 *  end the job, as the peers may wait inside HDF5. */
#ifndef RT_H5_H
#define RT_H5_H

#include "base/err.h"
#include "base/view.h"
#include "io/common/seal.h"
#include <mpi.h>

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

/** Create a file, or replace it. */
RT_MUST rt_err rt_h5_create(const char *path, MPI_Comm comm, rt_h5 **out);
/** Open for reading, this rank alone: no peer can be kept waiting.  Check the
 *  file's seal first: libhdf5 1.10 may crash on damaged metadata. */
RT_MUST rt_err rt_h5_open(const char *path, rt_h5 **out);
/** Flush and close: the error that matters when writing.  NULL is accepted. */
RT_MUST rt_err rt_h5_close(rt_h5 **h5);

/** Create a dataset, its groups ("w/x": group w) and its room in the file. */
RT_MUST rt_err rt_h5_declare(rt_h5 *h5, const char *name,
                             const rt_h5_shape *shape);
/** Write \a piece at (\a row0, \a col0); zero rows: nothing from this rank. */
RT_MUST rt_err rt_h5_write(rt_h5 *h5, const char *name, int64_t row0,
                           int64_t col0, rt_view piece);

/** Shape of a dataset; anything but plain data (links elsewhere, filters,
 *  external or virtual storage, other types) is RT_ERR_DATA. */
RT_MUST rt_err rt_h5_look(const rt_h5 *h5, const char *name, rt_h5_shape *out);
/** RT_ERR_DATA, saying both, unless the dataset has this type and shape (the
 *  chunks may differ). */
RT_MUST rt_err rt_h5_expect(const rt_h5 *h5, const char *name,
                            const rt_h5_shape *shape);
/** Read into \a piece from (\a row0, \a col0). */
RT_MUST rt_err rt_h5_read(const rt_h5 *h5, const char *name, int64_t row0,
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
/** A fresh string of at most \a max_bytes; the caller frees. */
RT_MUST rt_err rt_h5_get_text(const rt_h5 *h5, const char *name,
                              size_t max_bytes, char **text);
RT_MUST rt_err rt_h5_get_int(const rt_h5 *h5, const char *name, int64_t *value);
RT_MUST rt_err rt_h5_get_real(const rt_h5 *h5, const char *name, double *value);

#endif
