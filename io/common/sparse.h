/** \file sparse.h
 *  Copies the data of a sparse file to disk.  Layer: io. */
#ifndef RT_SPARSE_H
#define RT_SPARSE_H

#include "base/outfile.h"
#include "io/common/seal.h"

/** Copy the data of the open file \a fd to \a to, without its holes and without
 *  the extents \a raw [n_raw], which are disjoint and in order.  \a path is for
 *  messages. */
RT_MUST rt_err rt_sparse_save(int fd, const char *path, const rt_extent *raw,
                              int64_t n_raw, rt_outfile *to);

#endif
