/** \file logits.h
 *  Datasets of sparse teacher logits: a folder of sealed HDF5 shards and a
 *  manifest.  Layer: io.  Format: doc/formats.md.
 *
 *  Row i belongs to row first_row + i of the training stream from which it was
 *  captured (for a teacher captured during its training, to the row that it
 *  names).  The token ids are stored with it, so it can be read with any seed,
 *  order, batch size and layout.  Entries of a token are sorted by probability,
 *  ties by id.
 *
 *  Writing: each shard has a single writer, and no rank waits for another. */
#ifndef RT_LOGITS_H
#define RT_LOGITS_H

#include "io/logits/logits_info.h"

#include <mpi.h>

/** Find what exists in \a folder of a capture like \a info.  done [n_shards]:
 *  the shard's file exists; all false without a manifest.  finished: all shards
 *  exist, and the capture had ended.  RT_ERR_LOCKED for a different capture,
 *  listing the differences.  Changes nothing.  One rank. */
RT_MUST rt_err rt_logits_look(const char *folder, const rt_logits_info *info,
                              bool *done, bool *finished);
/** Read the manifest of the capture in \a folder; the caller frees *deck; NULL:
 *  there is none.  One rank. */
RT_MUST rt_err rt_logits_peek(const char *folder, rt_logits_info *info,
                              char **deck);
/** Create the folder and write a manifest without shards.  An existing folder
 *  may contain other files, and an unfinished capture with the same info, but
 *  no other shards and no model, and it must not lie inside another dataset.  A
 *  finished capture that has lost shards becomes unfinished again.  One rank.
 */
RT_MUST rt_err rt_logits_create(const char *folder, const rt_logits_info *info,
                                const char *deck);
/** Find the shards that are already sealed: done [n_shards].  Removes leftovers
 *  of killed writers, and shards that fail their seal.  One rank, before any
 *  writer starts. */
RT_MUST rt_err rt_logits_done(const char *folder, const rt_logits_info *info,
                              bool *done);
/** Add shards that were sealed since to the manifest.  One rank. */
RT_MUST rt_err rt_logits_enter(const char *folder);
/** Finish the dataset, all of whose shards are sealed: write README.md,
 *  deck.yaml and the final manifest.  One rank. */
RT_MUST rt_err rt_logits_finish(const char *folder);

/** A writer buffers rows until they have this many entries, to build tables
 *  from. */
enum { RT_LOGITS_LEARN_ENTRIES = 1 << 23 };
/** A writer of one rank for the dataset in \a folder, one shard at a time.
 *  Opaque, heap, not collective. */
typedef struct rt_logits_writer rt_logits_writer;
RT_MUST rt_err rt_logits_writer_open(const char *folder,
                                     rt_logits_writer **out);
/** Start shard \a i_shard. */
RT_MUST rt_err rt_logits_writer_begin(rt_logits_writer *w, int64_t i_shard);
/** Add the next row of the shard, which is encoded at once: in memory, without
 *  HDF5 or MPI. */
RT_MUST rt_err rt_logits_writer_add(rt_logits_writer *w,
                                    const rt_logits_row *row);
/** Approximate size of the shard's file if it were sealed now. */
int64_t rt_logits_writer_bytes(const rt_logits_writer *w);
/** Write the complete shard: temporary name, HDF5, close, seal, rename. */
RT_MUST rt_err rt_logits_writer_seal(rt_logits_writer *w);
/** The same in three calls: the layout, by HDF5; the records, read back and
 *  hashed, for any thread, like rt_logits_writer_add; and, with the result \a
 *  err of that, seal and final name.  After an error nothing is left. */
RT_MUST rt_err rt_logits_writer_lay_out(rt_logits_writer *w);
RT_MUST rt_err rt_logits_writer_put(rt_logits_writer *w);
RT_MUST rt_err rt_logits_writer_publish(rt_err err, rt_logits_writer *w);
void rt_logits_writer_close(rt_logits_writer **w);

typedef struct rt_logits rt_logits;
typedef enum rt_logits_state {
  RT_LOGITS_FINISHED, /**< reject an unfinished capture */
  RT_LOGITS_ANY,  /**< open the sealed shards of an unfinished capture, too */
  RT_LOGITS_SOUND /**< and skip shards that are missing or damaged, with a line
                     for each (rt_found) */
} rt_logits_state;
/** Check the manifest and the metadata of all shards (seals), and locate all
 *  rows.  Collective over \a comm: each rank checks a share. */
RT_MUST rt_err rt_logits_open(MPI_Comm comm, const char *folder,
                              rt_logits_state state, rt_logits **out);
void rt_logits_close(rt_logits **ds);
const rt_logits_info *rt_logits_about(const rt_logits *ds);
bool rt_logits_is_finished(const rt_logits *ds);
/** Number of shards that RT_LOGITS_SOUND skipped. */
int64_t rt_logits_n_left_out(const rt_logits *ds);
/** Is row \a row in a sealed shard that was not skipped? */
bool rt_logits_has(const rt_logits *ds, int64_t row);
/** The deck of the capture; the 16 hex digits at the end of the manifest. */
const char *rt_logits_deck(const rt_logits *ds);
void rt_logits_proof(const rt_logits *ds, char hex[17]);

typedef struct rt_logits_totals {
  int64_t rows, tokens, entries;
  int64_t bytes; /**< size of all files */
} rt_logits_totals;
rt_logits_totals rt_logits_count(const rt_logits *ds);

/** Maximum memory in bytes of an open dataset: offsets of rows, tables, and the
 *  decoders of as many shards as io/logits/logits_cache.h keeps. */
int64_t rt_logits_memory(const rt_logits *ds);
/** Memory in bytes for a row: of the longest record, and of that record
 *  decoded: arrays by token, and by entry, assuming that an entry takes as many
 *  of its bytes as on average over all records. */
void rt_logits_row_memory(const rt_logits *ds, int64_t *record, int64_t *tokens,
                          int64_t *entries);

/** Read one row by pread, check its XXH3 and decode it.  \a row counts from 0
 *  within the dataset.  Thread-safe, without HDF5 or MPI, for the read-ahead
 *  thread. */
RT_MUST rt_err rt_logits_read(const rt_logits *ds, int64_t row,
                              rt_logits_row *out);
/** Read the row's undecoded record and check its XXH3; replaces the contents of
 *  \a out.  Thread-safe. */
RT_MUST rt_err rt_logits_read_record(const rt_logits *ds, int64_t row,
                                     rt_bytes *out);
/** Size of that record in bytes. */
RT_MUST rt_err rt_logits_record_bytes(const rt_logits *ds, int64_t row,
                                      size_t *n);
/** Decode a record that another rank has read, after checking its XXH3.
 *  Thread-safe. */
RT_MUST rt_err rt_logits_decode(const rt_logits *ds, int64_t row,
                                const rt_bytes *record, rt_logits_row *out);
enum { RT_LOGITS_AT_ONCE = 16 };
/** How many rows are best read at once, up to RT_LOGITS_AT_ONCE, for speed in
 * reasonable memory. */
int rt_logits_at_once(const rt_logits *ds);
/** The same as rt_logits_read() of \a n <= rt_logits_at_once() rows; if
 *  records [n] is not NULL, as rt_logits_decode() of those. */
RT_MUST rt_err rt_logits_read_all(const rt_logits *ds, const int64_t *rows,
                                  int n, const rt_bytes *records,
                                  rt_logits_row *out);
/** Compare the SHA-256 of the whole file of shard \a i_shard with the manifest.
 *  Thread-safe; RT_OK for a shard that does not exist yet. */
RT_MUST rt_err rt_logits_verify_shard(const rt_logits *ds, int64_t i_shard);
/** Check the other files: README.md against the SHA-256 in the manifest,
 *  deck.yaml, if present, against the manifest's deck (neither before they are
 *  written).  Additional shards are reported (rt_found).  Not thread-safe. */
RT_MUST rt_err rt_logits_verify_folder(const rt_logits *ds);
/** Check every invariant of a row that was read; \a row is used in messages. */
RT_MUST rt_err rt_logits_verify_row(const rt_logits *ds, int64_t row,
                                    const rt_logits_row *got);

#endif
