/** \file h5_reader.h
 *  HDF5 files from outside, read without HDF5: another process tells what is in
 *  them (h5_child.h), here it is checked and the data read by pread.  Layer:
 *  io.
 *
 *  Only plain data is taken: one or two fixed dimensions, contiguous or in
 *  chunks of whole rows, no filters, no links elsewhere, no other files.  Main
 *  thread only. */
#ifndef RT_H5_READER_H
#define RT_H5_READER_H

#include "io/common/h5.h"
#include "io/common/seal.h"

typedef struct rt_h5_reader rt_h5_reader;

/** Open by this rank alone what has no seal: what is read is not checked. */
RT_MUST rt_err rt_h5_reader_open(const char *path, rt_h5_reader **out);
/** The same of what passes its seal, which is checked in the file that is
 *  opened here.  \a proof is the caller's, to be cleared, also after an error.
 */
RT_MUST rt_err rt_h5_reader_open_sealed(const char *path, rt_seal_proof *proof,
                                        rt_h5_reader **out);
/** The same for all ranks of \a comm, of a file that its seal covers whole:
 *  each checks its share, rank 0 has it opened and tells the others what is in
 *  it.  Collective. */
RT_MUST rt_err rt_h5_reader_open_all(MPI_Comm comm, const char *path,
                                     rt_h5_reader **out);
int64_t rt_h5_reader_bytes(const rt_h5_reader *r); /**< of the file */
/** NULL is accepted. */
void rt_h5_reader_close(rt_h5_reader **r);

/** Shape of a dataset; RT_ERR_DATA when there is none that retort takes. */
RT_MUST rt_err rt_h5_reader_look(const rt_h5_reader *r, const char *name,
                                 rt_h5_shape *out);
/** RT_ERR_DATA, saying both, unless the dataset has this type and shape (the
 *  chunks may differ). */
RT_MUST rt_err rt_h5_reader_expect(const rt_h5_reader *r, const char *name,
                                   const rt_h5_shape *shape);
/** Read into \a piece from (\a row0, \a col0). */
RT_MUST rt_err rt_h5_reader_read(const rt_h5_reader *r, const char *name,
                                 int64_t row0, int64_t col0, rt_view piece);
/** Where its data lies, as rt_h5_extents() tells it. */
RT_MUST rt_err rt_h5_reader_extents(const rt_h5_reader *r, const char *name,
                                    rt_extent **out, int64_t *n);

/** Attributes of the root group.  A fresh string of at most \a max_bytes; the
 *  caller frees. */
RT_MUST rt_err rt_h5_reader_text(const rt_h5_reader *r, const char *name,
                                 size_t max_bytes, char **text);
RT_MUST rt_err rt_h5_reader_int(const rt_h5_reader *r, const char *name,
                                int64_t *value);
RT_MUST rt_err rt_h5_reader_real(const rt_h5_reader *r, const char *name,
                                 double *value);

#endif
