/** \file sparse.h
 *  A file of which only some bytes are known here, into one on a disk.
 *  Layer: io. */
#ifndef RT_SPARSE_H
#define RT_SPARSE_H

#include "base/outfile.h"
#include "io/common/seal.h"

/** Put the data of the open file \a fd into \a to.  Not its holes, and not the
 *  extents \a raw [n_raw], which are apart and in order.  \a path is for
 *  messages. */
RT_MUST rt_err rt_sparse_save(int fd, const char *path, const rt_extent *raw,
                              int64_t n_raw, rt_outfile *to);

#endif
