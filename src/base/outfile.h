/** \file outfile.h
 *  An output file whose contents are read back and compared before it is
 *  accepted.  Layer: base.
 *
 *  Interrupted and short writes are continued.  Any other failure is RT_ERR_IO
 *  with a message that names the path, the reason, the space needed and the
 *  space free.  Several processes may write parts of one file, each through its
 *  own rt_outfile.  The caller chooses the (temporary) name of the file
 *  (rt_path_draft). */
#ifndef RT_OUTFILE_H
#define RT_OUTFILE_H

#include "base/err.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct rt_outfile rt_outfile;

/** Create \a path, or truncate it. */
RT_MUST rt_err rt_outfile_create(const char *path, rt_outfile **out);
/** Open a file that this or another process has created, without changing it.
 */
RT_MUST rt_err rt_outfile_open(const char *path, rt_outfile **out);

/** Write at \a offset.  A byte must not be written twice with different values.
 */
RT_MUST rt_err rt_outfile_put_at(rt_outfile *f, const void *data, size_t n,
                                 int64_t offset);
/** Write \a n_rows rows of \a row_bytes each, which are \a stride bytes apart
 * in memory, and \a file_stride in the file from \a offset on.  What is
 *  remembered for reading back does not grow with short rows. */
typedef struct rt_outfile_rows {
  const void *data;
  int64_t n_rows, row_bytes, stride, offset, file_stride;
} rt_outfile_rows;
RT_MUST rt_err rt_outfile_put_rows(rt_outfile *f, const rt_outfile_rows *rows);
/** Append after the bytes appended before, starting at offset 0 or where
 *  rt_outfile_seek said.  Small pieces are buffered. */
RT_MUST rt_err rt_outfile_append(rt_outfile *f, const void *data, size_t n);
/** Start appending at \a offset.  Call before the first append. */
void rt_outfile_seek(rt_outfile *f, int64_t offset);
/** Set the file's size; bytes that were not written read as 0. */
RT_MUST rt_err rt_outfile_resize(rt_outfile *f, int64_t bytes);

/** Once *\a stop is true, which another thread may set, rt_outfile_finish gives
 *  up soon, with RT_ERR_STOPPED. */
void rt_outfile_heed(rt_outfile *f, const _Atomic bool *stop);

/** If \a err is RT_OK: sync the file to disk, read it back, compare it with
 *  what was written, and close it.  Otherwise only close it and return \a err.
 *  Sets *f to NULL; NULL is accepted. */
RT_MUST rt_err rt_outfile_finish(rt_err err, rt_outfile **f);
/** Only close it, after an error that is already known.  Sets *f to NULL; NULL
 *  is accepted. */
void rt_outfile_drop(rt_outfile **f);

#endif
