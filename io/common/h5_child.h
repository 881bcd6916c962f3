/** \file h5_child.h
 *  HDF5 files are opened in a separate process, because libhdf5 may crash on a
 *  damaged or crafted file even if every hash matches.  Layer: io.
 *
 *  There is one server process per rank (or per program without ranks).  For
 *  each file it forks a child, which receives the open file, reports its
 *  contents and exits.  Both end with the process that started them, however
 *  that ends.  Main thread only, not collective. */
#ifndef RT_H5_CHILD_H
#define RT_H5_CHILD_H

#include "io/common/bytes.h"

/** Start the server.  Call before MPI_Init and before any thread starts: it
 *  forks without exec. */
RT_MUST rt_err rt_h5_child_start(void);
/** Stop the server, if there is one. */
void rt_h5_child_stop(void);

/** Store the records (h5_describe.h) of the open file \a fd in \a out, followed
 *  by a 0 byte.  \a path is for messages.  The records are untrusted.
 *  RT_ERR_DATA: HDF5 rejected the file or crashed; RT_ERR_INTERNAL:
 *  rt_h5_child_start() was not called. */
RT_MUST rt_err rt_h5_child_ask(int fd, const char *path, rt_bytes *out);

#endif
