/** \file logits.h
 *  Sparse teacher logits on disk: a folder of sealed HDF5 shards and a
 * manifest. Layer: io.  Format: doc/formats.md.
 *
 *  Row i belongs to row i of the training stream it was captured from, whose
 *  token ids are stored beside it; so any seed, order, batch and layout may
 * read it.  Entries of a token are sorted by probability (ties by id). */
#ifndef RT_LOGITS_H
#define RT_LOGITS_H

#include "base/err.h"
#include "base/hash.h"
#include "io/logits_buffer.h"
#include "io/seal.h"
#include <mpi.h>
#include <stdint.h>

/** What is known of a dataset; text members are "" when unknown. */
typedef struct rt_logits_info {
  int64_t seq;    /**< T */
  int64_t vocab;  /**< true V */
  int64_t n_rows; /**< rows captured */
  int64_t shard_rows;
  double top_p;
  int64_t top_k;
  char teacher_hash[RT_SHA256_HEX], tokenizer_hash[RT_SHA256_HEX],
      corpus_hash[RT_SHA256_HEX];
  char teacher[256], license[256], creator[128], created[32];
  int64_t eot;
  double valid_fraction;
  uint64_t split_seed;
  bool mask_documents;
} rt_logits_info;

/** --- writing: one writer per shard, no rank ever waits for a peer --- */

/** Make the folder (it must be empty or hold an unfinished capture with the
 *  same info) and write the manifest with no shards.  One rank. */
RT_MUST rt_err rt_logits_create(const char *folder, const rt_logits_info *info,
                                const char *deck);
/** Which shards of the plan are already sealed?  done [n_shards]. */
RT_MUST rt_err rt_logits_done(const char *folder, const rt_logits_info *info,
                              bool *done);
/** Write shard \a i_shard (rows [i_shard * shard_rows, ...)): temporary name,
 *  HDF5, close, seal, rename. \a rows [n_rows].  One rank, not collective. */
RT_MUST rt_err rt_logits_write_shard(const char *folder,
                                     const rt_logits_info *info,
                                     int64_t i_shard, const rt_logits_row *rows,
                                     int64_t n_rows);
/** All shards are sealed: write the final manifest and README.md.  One rank. */
RT_MUST rt_err rt_logits_finish(const char *folder, const rt_logits_info *info,
                                const char *deck);

/** --- reading --- */
typedef struct rt_logits rt_logits;
/** Check manifest and shard metadata (seals), then open; offsets of all rows
 *  are resolved once.  Collective over \a comm: ranks check a share each. */
RT_MUST rt_err rt_logits_open(MPI_Comm comm, const char *folder,
                              rt_logits **out);
void rt_logits_close(rt_logits **ds);
const rt_logits_info *rt_logits_about(const rt_logits *ds);
int64_t rt_logits_total_entries(const rt_logits *ds);
int64_t rt_logits_total_bytes(const rt_logits *ds); /**< all files */

/** Read one row by pread, check its XXH3 and its invariants (counts, ids < V,
 *  sorted).  Thread-safe, no HDF5, no MPI: for the prefetch thread. */
RT_MUST rt_err rt_logits_read(const rt_logits *ds, int64_t row,
                              rt_logits_row *out);
/** The same through H5Dread: the reference that tests compare with.  Main
 *  thread only. */
RT_MUST rt_err rt_logits_read_h5(const rt_logits *ds, int64_t row,
                                 rt_logits_row *out);

#endif
