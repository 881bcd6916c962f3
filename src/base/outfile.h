/** \file outfile.h
 *  A file that is being written: what was put into it is read back from it
 *  before it counts.  Layer: base.
 *
 *  Interrupted and short writes go on where they stopped; whatever else fails
 *  is RT_ERR_IO that names the path, the reason, what is needed and what is
 *  free.  Several processes may write parts of one file, each through its own
 *  rt_outfile.  What it is called meanwhile is the caller's matter
 *  (rt_path_draft). */
#ifndef RT_OUTFILE_H
#define RT_OUTFILE_H

#include "base/err.h"
#include <stddef.h>
#include <stdint.h>

typedef struct rt_outfile rt_outfile;

/** Create \a path, or empty it. */
RT_MUST rt_err rt_outfile_create(const char *path, rt_outfile **out);
/** Open what this or another process has created, as it is. */
RT_MUST rt_err rt_outfile_open(const char *path, rt_outfile **out);

/** Write at \a offset.  What was put once is not put again otherwise. */
RT_MUST rt_err rt_outfile_put_at(rt_outfile *f, const void *data, size_t n,
                                 int64_t offset);
/** Write behind what was appended before, from \a offset 0 or where
 *  rt_outfile_seek said; small pieces are collected. */
RT_MUST rt_err rt_outfile_append(rt_outfile *f, const void *data, size_t n);
/** Appending begins at \a offset.  Before the first piece. */
void rt_outfile_seek(rt_outfile *f, int64_t offset);
/** Bytes appended so far. */
int64_t rt_outfile_appended(const rt_outfile *f);
/** Make it \a bytes long; what was not put reads as 0. */
RT_MUST rt_err rt_outfile_resize(rt_outfile *f, int64_t bytes);

/** When \a err is RT_OK: all of it to the disk, read back and compared with
 *  what was put, closed.  Else only closed, and \a err is forwarded.  *f is
 *  NULL after that; NULL is accepted. */
RT_MUST rt_err rt_outfile_finish(rt_err err, rt_outfile **f);

#endif
