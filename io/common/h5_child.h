/** \file h5_child.h
 *  A process of its own opens HDF5 files: libhdf5 may crash on one that was
 *  damaged or crafted, also where every hash is right.  Layer: io.
 *
 *  One a rank, or a program without ranks.  It waits; when a file is to be
 *  opened it forks a child that is given the open file, tells what is in it and
 *  ends.  Both end with the process that started them, whatever becomes of
 *  that.  Main thread only, not collective. */
#ifndef RT_H5_CHILD_H
#define RT_H5_CHILD_H

#include "io/common/bytes.h"

/** Start it.  Before MPI_Init and before any thread: it is a fork that never
 *  calls exec. */
RT_MUST rt_err rt_h5_child_start(void);
/** End it.  Nothing happens when none was started. */
void rt_h5_child_stop(void);

/** The records (h5_describe.h) of the open file \a fd, called \a path, into
 *  \a out, with a 0 behind them.  Nobody vouches for them.  RT_ERR_DATA: HDF5
 * refuses it or crashed; RT_ERR_INTERNAL: rt_h5_child_start() was not called.
 */
RT_MUST rt_err rt_h5_child_ask(int fd, const char *path, rt_bytes *out);

#endif
