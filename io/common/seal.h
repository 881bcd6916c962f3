/** \file seal.h
 *  Seals: they verify that a file is unchanged, before any library opens it.
 *  Layer: io.
 *
 *  PATH.seal is JSON: size, block size, XXH3-64 of each block, and extents of
 *  raw data that is verified by other means (row hashes).  It ends with its own
 *  hash.  Blocks completely inside such extents are not read when the seal is
 *  checked. */
#ifndef RT_SEAL_H
#define RT_SEAL_H

#include "base/err.h"
#include "base/file.h"
#include "base/hash.h"
#include <mpi.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/** Bytes [offset, offset + bytes) of a file. */
typedef struct rt_extent {
  int64_t offset, bytes;
} rt_extent;

/** PATH.seal */
RT_MUST rt_err rt_seal_path(char out[RT_PATH_MAX], const char *path);

/** What a seal stores of a file. */
typedef enum rt_seal_hashes {
  RT_SEAL_BLOCKS, /**< a hash per block */
  RT_SEAL_SHA256  /**< also the SHA-256 of the whole, computed by rank 0 */
} rt_seal_hashes;

/** Write PATH.seal for a closed file.  \a raw [n_raw]: sorted extents that
 *  readers verify themselves (n_raw may be 0: everything is checked).
 *  Collective over \a comm: each rank hashes a share of the blocks. */
RT_MUST rt_err rt_seal_write(MPI_Comm comm, const char *path,
                             const rt_extent *raw, int n_raw,
                             rt_seal_hashes hashes);
/** The same in three calls, so that another thread may do the hashing. */
typedef struct rt_seal_spec {
  MPI_Comm comm;    // borrowed, as are path and raw
  const char *path; /**< as of rt_seal_write */
  const rt_extent *raw;
  int n_raw;
  rt_seal_hashes hashes;
  const _Atomic bool *stop; /**< NULL; or rt_sealing_hash gives up soon after
                               another thread sets it, with RT_ERR_STOPPED */
} rt_seal_spec;
typedef struct rt_sealing rt_sealing;
/** Divide the blocks among the ranks.  Collective. */
RT_MUST rt_err rt_sealing_begin(const rt_seal_spec *spec, rt_sealing **out);
/** Hash this rank's share.  Not collective, and for any thread. */
RT_MUST rt_err rt_sealing_hash(rt_sealing *sealing);
/** Write the seal, unless \a err (of the hashing) is an error on any rank,
 *  which is then returned on all.  Sets *sealing to NULL.  Collective. */
RT_MUST rt_err rt_sealing_finish(rt_err err, rt_sealing **sealing);
/** Give it up without a seal.  Not collective; NULL is accepted. */
void rt_sealing_drop(rt_sealing **sealing);

/** What is known about a file that matches its seal. */
typedef struct rt_seal_proof {
  uint64_t hash;              /**< hash at the end of PATH.seal */
  char sha256[RT_SHA256_HEX]; /**< SHA-256 of the file; "" if not stored */
  rt_extent *raw; // owned [n_raw], sorted, disjoint: not covered by hashes
  int64_t n_raw;
} rt_seal_proof;
void rt_seal_proof_clear(rt_seal_proof *proof);

/** Check PATH against PATH.seal; RT_ERR_DATA names file, block, found and
 *  expected hash.  Collective; every rank gets the same result. */
RT_MUST rt_err rt_seal_check(MPI_Comm comm, const char *path);
/** The same for \a fd, which this rank has opened as \a path, so that what is
 *  read from it is what was checked, even if the name refers to another file by
 *  then.  The caller clears \a proof, also after an error. */
RT_MUST rt_err rt_seal_check_open(MPI_Comm comm, int fd, const char *path,
                                  rt_seal_proof *proof);
/** RT_ERR_DATA unless all bytes not covered by hashes lie in \a extents [n],
 *  which the caller checks itself.  Not collective. */
RT_MUST rt_err rt_seal_proof_covers(const rt_seal_proof *proof,
                                    const char *path, const rt_extent *extents,
                                    int64_t n);
/** The hash at the end of PATH.seal, after checking it, and the SHA-256 stored
 *  in it ("" if none).  A list of files stores both for each file.  Not
 *  collective. */
RT_MUST rt_err rt_seal_hash(const char *path, uint64_t *hash,
                            char sha256[RT_SHA256_HEX]);

/** Write a self-verifying JSON text: an object whose last member is "seal", the
 *  XXH3-64 of every byte before it as 16 hex digits.  \a text [n] is the object
 *  up to and including its last comma.  Atomic; not collective. */
RT_MUST rt_err rt_seal_text_put(const char *path, const char *text, size_t n);
/** Read such a text of at most \a max_bytes and verify it; \a hash may be NULL.
 *  The caller frees \a text [n], the whole file.  Not collective. */
RT_MUST rt_err rt_seal_text_get(const char *path, size_t max_bytes, char **text,
                                size_t *n, uint64_t *hash);

#endif
