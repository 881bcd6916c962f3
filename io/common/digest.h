/** \file digest.h
 *  Digests of large files, computed by all ranks together and cached.  Layer:
 *  io.
 *
 *  The digest of a file is the SHA-256 of a text: the file's size in decimal
 *  and a newline, then, for each block of 64 MiB, its SHA-256 in hex and a
 *  newline.
 *
 *    (stat -c %s F; split -b 64M --filter=sha256sum F | cut -c -64) | sha256sum
 */
#ifndef RT_DIGEST_H
#define RT_DIGEST_H

#include "base/err.h"
#include "base/hash.h"
#include <mpi.h>

#define RT_DIGEST_BLOCK (INT64_C(64) << 20)

/** Digests of \a n files, the same list on every rank.  Ranks that see the same
 *  files (inode, size, times) divide the reading; others, with node-local
 *  copies, read their own, and a file that differs from rank 0's is
 *  RT_ERR_DATA.  Files whose digest is cached and that have not changed since
 *  are not read.
 *  \param what  what the files are, for the user ("corpus")
 *  \param[out] hex  [n]
 *
 *  Collective; every rank gets the same result. */
RT_MUST rt_err rt_files_digest(MPI_Comm comm, const char *what,
                               const char *const *paths, int n,
                               char (*hex)[RT_SHA256_HEX]);

/** XXH3 of a file's size and of up to \a n_looks >= 2 blocks of 4 KiB spread
 *  evenly over it, including its beginning and end.  This distinguishes files
 *  that were created separately, and is cheap enough for every rank.  Not
 *  collective. */
RT_MUST rt_err rt_file_sample(const char *path, int n_looks, uint64_t *hash);

#endif
