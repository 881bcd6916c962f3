/** \file seal.h
 *  Proof that a file is what was written, checked before any library opens it.
 *  Layer: io.
 *
 *  PATH.seal is JSON: size, block size, XXH3-64 of each block, and extents that
 *  hold raw data checked elsewhere (row hashes); it closes with its own hash.
 *  Blocks wholly inside such extents are not read when the seal is checked. */
#ifndef RT_SEAL_H
#define RT_SEAL_H

#include "base/err.h"
#include <mpi.h>
#include <stdint.h>

/** Bytes [offset, offset + bytes) of a file. */
typedef struct rt_extent {
  int64_t offset, bytes;
} rt_extent;

/** Write PATH.seal for a closed file.  \a raw [n_raw], sorted: extents that
 *  readers check themselves (n_raw may be 0: everything is checked).
 *  Collective over \a comm: ranks hash a share of the blocks each. */
RT_MUST rt_err rt_seal_write(MPI_Comm comm, const char *path,
                             const rt_extent *raw, int n_raw);
/** Check PATH against PATH.seal; RT_ERR_DATA names file, block, got, expected.
 *  Collective; every rank gets the same answer. */
RT_MUST rt_err rt_seal_check(MPI_Comm comm, const char *path);

#endif
