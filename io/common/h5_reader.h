/** \file h5_reader.h
 *  Reads untrusted HDF5 files without HDF5: another process describes their
 *  contents (h5_child.h), which is checked here, and data is read by pread.
 *  Layer: io.
 *
 *  Only plain data is accepted: one or two fixed dimensions, contiguous or in
 *  chunks of whole rows, without filters, links elsewhere, or external files.
 *  Main thread only. */
#ifndef RT_H5_READER_H
#define RT_H5_READER_H

#include "io/common/h5.h"
#include "io/common/seal.h"

typedef struct rt_h5_reader rt_h5_reader;

/** Open, on this rank only, a file that passes its seal, which is checked on
 *  the very file opened here.  The caller clears \a proof, also after an error.
 */
RT_MUST rt_err rt_h5_reader_open(const char *path, rt_seal_proof *proof,
                                 rt_h5_reader **out);
/** Open, on all ranks of \a comm, a file that its seal covers completely: each
 *  rank checks a share, and rank 0 obtains the description and broadcasts it.
 *  Collective. */
RT_MUST rt_err rt_h5_reader_open_all(MPI_Comm comm, const char *path,
                                     rt_h5_reader **out);
int64_t rt_h5_reader_bytes(const rt_h5_reader *r); /**< of the file */
/** Close and set to NULL; NULL is accepted. */
void rt_h5_reader_close(rt_h5_reader **r);

/** Shape of a dataset; RT_ERR_DATA if there is none that retort accepts. */
RT_MUST rt_err rt_h5_reader_look(const rt_h5_reader *r, const char *name,
                                 rt_h5_shape *out);
/** RT_ERR_DATA, with both shapes, unless the dataset has this type and shape
 *  (chunks may differ). */
RT_MUST rt_err rt_h5_reader_expect(const rt_h5_reader *r, const char *name,
                                   const rt_h5_shape *shape);
/** Read \a piece, starting at (\a row0, \a col0). */
RT_MUST rt_err rt_h5_reader_read(const rt_h5_reader *r, const char *name,
                                 int64_t row0, int64_t col0, rt_view piece);
/** Extents of its data, like rt_h5_extents(). */
RT_MUST rt_err rt_h5_reader_extents(const rt_h5_reader *r, const char *name,
                                    rt_extent **out, int64_t *n);

/** Attributes of the root group.  A text has at most \a max_bytes; the caller
 *  frees it. */
RT_MUST rt_err rt_h5_reader_text(const rt_h5_reader *r, const char *name,
                                 size_t max_bytes, char **text);
RT_MUST rt_err rt_h5_reader_int(const rt_h5_reader *r, const char *name,
                                int64_t *value);
RT_MUST rt_err rt_h5_reader_real(const rt_h5_reader *r, const char *name,
                                 double *value);

#endif
