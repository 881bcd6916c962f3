/** \file checkpoint.h
 *  Checkpoints: the state of a run in one sealed HDF5 file, readable on any
 *  layout.  Layer: io.
 *
 *  FOLDER/step-00000100/{state.h5,state.h5.seal}; the folder is renamed when it
 *  is complete.  Each tensor is one dataset with its full shape, without
 *  padding.  Each rank writes and reads its own parts of it. */
#ifndef RT_CHECKPOINT_H
#define RT_CHECKPOINT_H

#include "base/err.h"
#include "base/hash.h"
#include "base/view.h"
#include "base/worker.h"
#include <mpi.h>

/** A part of a tensor in this rank's host memory. */
typedef struct rt_slab {
  const char *name;   /**< dataset, e.g. "w/model.norm.weight", "m/..." */
  int64_t rows, cols; /**< whole tensor */
  int64_t row0, col0; /**< position of this part; its size is that of data */
  rt_view data;       /**< f32 or f64; zero rows: this rank has no part */
} rt_slab;

typedef struct rt_checkpoint_meta {
  int64_t step;               /**< optimizer steps completed */
  int64_t consumed;           /**< rows of the training stream consumed */
  int64_t tokens;             /**< tokens consumed */
  int64_t skipped;            /**< bad steps skipped */
  int64_t rows;               /**< rows of the training stream */
  uint64_t rows_xxh3;         /**< hash of a sample of their tokens */
  double norm_mean;           /**< running mean of the gradient norm (spikes) */
  char origin[RT_SHA256_HEX]; /**< hash of what the run started from; "" if
                                 unknown */
  char teacher[RT_SHA256_HEX]; /**< hash of the teacher; "": none or unknown */
  char tokenizer[RT_SHA256_HEX]; /**< hash of the tokenizer, or "none"; "":
                                    unknown */
  char *deck; /**< resolved deck; owned, free by rt_checkpoint_meta_clear */
  char *arch; /**< config.json text; owned */
  struct rt_h5_reader *file; /**< proven and open, for rt_checkpoint_read;
                                  owned; NULL when it is to be written */
} rt_checkpoint_meta;
void rt_checkpoint_meta_clear(rt_checkpoint_meta *meta);

/** Write a checkpoint and give it its final name.  All ranks pass the same
 *  tensors in the same order; a replica that is not the owner passes zero rows.
 *  Free space is checked first, and what was written is read back.  A failure
 *  on one rank is returned on all, and does not affect existing checkpoints.
 *  Collective. */
RT_MUST rt_err rt_checkpoint_write(MPI_Comm comm, const char *folder,
                                   const rt_checkpoint_meta *meta,
                                   const rt_slab *slabs, int n_slabs);

/** The same in pieces, so that training goes on meanwhile. */
typedef struct rt_checkpoint_spec {
  MPI_Comm comm;
  const char *folder;
  const rt_checkpoint_meta *meta;
  const rt_slab *slabs; /**< [n_slabs], unchanged until it is published */
  int n_slabs;
  rt_worker *worker;  /**< writes and hashes; NULL: the caller's thread does */
} rt_checkpoint_spec; // all borrowed, folder and meta for the call only
typedef struct rt_checkpoint_writer rt_checkpoint_writer;
/** Lay out the file and begin to write.  Collective. */
RT_MUST rt_err rt_checkpoint_begin(const rt_checkpoint_spec *spec,
                                   rt_checkpoint_writer **out);
/** What a rank's thread does.  The maximum over the ranks says what is next. */
typedef enum rt_checkpoint_state {
  RT_CHECKPOINT_READY,  /**< on all ranks: rt_checkpoint_go_on */
  RT_CHECKPOINT_WRITES, /**< on some rank: look again later */
  RT_CHECKPOINT_FAILED  /**< on some rank: rt_checkpoint_go_on, for its error */
} rt_checkpoint_state;
/** Look without waiting.  Not collective.  NULL is accepted. */
rt_checkpoint_state rt_checkpoint_poll(const rt_checkpoint_writer *writer);
/** The next part: hash for the seal, then seal and give it its final name.
 *  After an error, and when it is published, *writer is NULL.  Collective. */
RT_MUST rt_err rt_checkpoint_go_on(rt_checkpoint_writer **writer,
                                   bool *published);
/** All that is left, waiting for the threads.  Collective. */
RT_MUST rt_err rt_checkpoint_finish(rt_checkpoint_writer **writer);
/** Stop writing; the draft stays until it is pruned.  Not collective; NULL is
 *  accepted. */
void rt_checkpoint_abandon(rt_checkpoint_writer **writer);

/** Load the checkpoint of \a step.  RT_ERR_DATA or RT_ERR_NOINPUT: it is
 *  damaged; any other error has another reason, such as a changed deck.
 *  Collective; every rank returns the same. */
typedef rt_err rt_checkpoint_load(void *context, int64_t step);
/** Load the newest checkpoint in \a folder that is not damaged, trying older
 *  ones in turn with a warning that says what is wrong.  One that a killed run
 *  was about to replace counts if it is the only one of its step, and is read
 *  where it is.  *step = -1 if there is none; RT_ERR_DATA if all are damaged.
 *  Collective. */
RT_MUST rt_err rt_checkpoint_newest(MPI_Comm comm, const char *folder,
                                    rt_checkpoint_load *load, void *context,
                                    int64_t *step);
/** Check the seal, read what is not a tensor.  The file stays open in \a meta:
 *  what is read from it is what was checked.  Numbers that no run can have
 *  written are RT_ERR_DATA; a checkpoint of a version that cannot be read is
 *  RT_ERR_CONFIG.  Collective. */
RT_MUST rt_err rt_checkpoint_read_meta(MPI_Comm comm, const char *folder,
                                       int64_t step, rt_checkpoint_meta *meta);
/** The hash at the end of its seal.  Not collective. */
RT_MUST rt_err rt_checkpoint_proof(const char *folder, int64_t step,
                                   uint64_t *hash);
/** Fill every slab from the checkpoint of \a meta.  Unknown names, other types
 *  or shapes: RT_ERR_DATA, also for slabs of zero rows.  Collective. */
RT_MUST rt_err rt_checkpoint_read(MPI_Comm comm, const rt_checkpoint_meta *meta,
                                  rt_slab *slabs, int n_slabs);
/** The number of checkpoints of steps later than \a step.  Rank 0 only. */
RT_MUST rt_err rt_checkpoint_later(const char *folder, int64_t step,
                                   int64_t *n);
/** Rename checkpoints of steps later than \a step, which are damaged, so that
 *  they neither count as newest nor are overwritten.  Rank 0 only. */
RT_MUST rt_err rt_checkpoint_set_aside(const char *folder, int64_t step);
/** Give a checkpoint its name back that a killed run was about to replace: it
 * is the only one of its step; remove those that are replaced.  For a run,
 * before it looks for the newest; no other may write to the folder.  Rank 0
 * only. */
RT_MUST rt_err rt_checkpoint_put_back(const char *folder);
/** Then remove what killed runs left half written or half removed; a writer
 * does so before it looks at free space. */
RT_MUST rt_err rt_checkpoint_sweep(const char *folder);
/** Remove checkpoints that are neither among the newest \a keep_last nor at a
 *  multiple of \a keep_every (0: none), and sweep.  Rank 0 only. */
RT_MUST rt_err rt_checkpoint_prune(const char *folder, int keep_last,
                                   int64_t keep_every);

#endif
