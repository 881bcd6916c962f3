/** \file logits.h
 *  Sparse teacher logits on disk: a folder of sealed HDF5 shards and a
 *  manifest.  Layer: io.  Format: doc/formats.md.
 *
 *  Row i belongs to row first_row + i of the training stream it was captured
 *  from (of a teacher in training: to the row that it names itself), whose
 *  token ids are stored beside it; so any seed, order, batch and layout may
 *  read it.  Entries of a token are sorted by probability (ties by
 *  id). */
#ifndef RT_LOGITS_H
#define RT_LOGITS_H

#include "io/logits/logits_info.h"

#include <mpi.h>

/** --- writing: one writer per shard, no rank ever waits for a peer --- */

/** What of a capture like \a info is in \a folder?  done [n_shards]: the file
 *  of that shard is there; none without a manifest.  finished: all of them, and
 *  the capture had ended.  RT_ERR_LOCKED for another capture, with what
 * differs. Changes nothing.  One rank. */
RT_MUST rt_err rt_logits_look(const char *folder, const rt_logits_info *info,
                              bool *done, bool *finished);
/** What capture is in \a folder, by its manifest: *deck is the caller's to
 *  free; NULL: there is none.  One rank. */
RT_MUST rt_err rt_logits_peek(const char *folder, rt_logits_info *info,
                              char **deck);
/** Make the folder and write the manifest with no shards.  One that is there
 *  may hold other files, and an unfinished capture with the same info, but no
 *  other shards, no model, and is in no dataset.  A finished one that has lost
 *  shards is unfinished again.  One rank. */
RT_MUST rt_err rt_logits_create(const char *folder, const rt_logits_info *info,
                                const char *deck);
/** Which shards of the plan are already sealed?  done [n_shards].  Removes what
 *  a killed writer left, and shards that do not pass their seal.  One rank,
 * before any writer. */
RT_MUST rt_err rt_logits_done(const char *folder, const rt_logits_info *info,
                              bool *done);
/** Enter shards that were sealed since into the manifest.  One rank. */
RT_MUST rt_err rt_logits_enter(const char *folder);
/** All shards are sealed: write README.md, deck.yaml and the final manifest.
 *  One rank. */
RT_MUST rt_err rt_logits_finish(const char *folder);

/** A writer keeps rows until they have so many entries, to learn tables from.
 */
enum { RT_LOGITS_LEARN_ENTRIES = 1 << 23 };
/** One rank's pen for the dataset in \a folder, shard after shard.  Opaque,
 *  heap, not collective. */
typedef struct rt_logits_writer rt_logits_writer;
RT_MUST rt_err rt_logits_writer_open(const char *folder,
                                     rt_logits_writer **out);
/** Start shard \a i_shard. */
RT_MUST rt_err rt_logits_writer_begin(rt_logits_writer *w, int64_t i_shard);
/** Its next row, encoded at once: memory only, no HDF5 and no MPI. */
RT_MUST rt_err rt_logits_writer_add(rt_logits_writer *w,
                                    const rt_logits_row *row);
/** Bytes of the shard's file, should it be sealed now; nearly. */
int64_t rt_logits_writer_bytes(const rt_logits_writer *w);
/** All rows are there: temporary name, HDF5, close, seal, rename. */
RT_MUST rt_err rt_logits_writer_seal(rt_logits_writer *w);
void rt_logits_writer_close(rt_logits_writer **w);

/** --- reading --- */
typedef struct rt_logits rt_logits;
typedef enum rt_logits_state {
  RT_LOGITS_FINISHED, /**< refuse an unfinished capture */
  RT_LOGITS_ANY,      /**< open the sealed shards of one, too */
  RT_LOGITS_SOUND     /**< and leave out those that are missing or damaged, with
                           a line for each (rt_found) */
} rt_logits_state;
/** Check manifest and shard metadata (seals), then open; offsets of all rows
 *  are resolved once.  Collective over \a comm: ranks check a share each. */
RT_MUST rt_err rt_logits_open(MPI_Comm comm, const char *folder,
                              rt_logits_state state, rt_logits **out);
void rt_logits_close(rt_logits **ds);
const rt_logits_info *rt_logits_about(const rt_logits *ds);
bool rt_logits_is_finished(const rt_logits *ds);
/** Shards that RT_LOGITS_SOUND has left out. */
int64_t rt_logits_n_left_out(const rt_logits *ds);
/** Is row \a row in a sealed shard that was not left out? */
bool rt_logits_has(const rt_logits *ds, int64_t row);
/** The deck it was made by; 16 hex digits that prove its manifest. */
const char *rt_logits_deck(const rt_logits *ds);
void rt_logits_proof(const rt_logits *ds, char hex[17]);

typedef struct rt_logits_totals {
  int64_t rows, tokens, entries;
  int64_t bytes; /**< of all files */
} rt_logits_totals;
rt_logits_totals rt_logits_count(const rt_logits *ds);

/** Bytes of memory that it takes at most: where rows lie, tables, and decoders
 *  (of io/logits/logits_cache.h's number of shards). */
int64_t rt_logits_memory(const rt_logits *ds);
/** Bytes of memory of a row: of the longest record, and what that one is
 * decoded if an entry takes as many of its bytes as in all records on average.
 */
void rt_logits_row_memory(const rt_logits *ds, int64_t *record,
                          int64_t *decoded);

/** Read one row by pread, check its XXH3, decode it.  \a row counts from 0 in
 *  the dataset.  Thread-safe, no HDF5, no MPI: for the prefetch thread. */
RT_MUST rt_err rt_logits_read(const rt_logits *ds, int64_t row,
                              rt_logits_row *out);
/** The row's record as it lies there, its XXH3 checked; replaces what \a out
 *  held.  Thread-safe. */
RT_MUST rt_err rt_logits_read_record(const rt_logits *ds, int64_t row,
                                     rt_bytes *out);
/** Bytes of that record. */
RT_MUST rt_err rt_logits_record_bytes(const rt_logits *ds, int64_t row,
                                      size_t *n);
/** A record that another rank has read: check its XXH3, decode it.
 *  Thread-safe. */
RT_MUST rt_err rt_logits_decode(const rt_logits *ds, int64_t row,
                                const rt_bytes *record, rt_logits_row *out);
/** SHA-256 of shard \a i_shard's whole file against the manifest's: reads all
 *  of it.  Thread-safe; RT_OK for a shard that is not there yet. */
RT_MUST rt_err rt_logits_verify_shard(const rt_logits *ds, int64_t i_shard);
/** What lies beside the shards: README.md against the manifest's SHA-256,
 *  deck.yaml, if it is there, against the manifest's deck (neither before they
 *  are written); other shards are told (rt_found).  Not thread-safe. */
RT_MUST rt_err rt_logits_verify_folder(const rt_logits *ds);
/** Every invariant of a row that was read; \a row is for the message. */
RT_MUST rt_err rt_logits_verify_row(const rt_logits *ds, int64_t row,
                                    const rt_logits_row *got);

#endif
