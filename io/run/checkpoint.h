/** \file checkpoint.h
 *  State of a run in one sealed HDF5 file per checkpoint, readable on any
 *  layout.  Layer: io.
 *
 *  FOLDER/step-00000100/{state.h5,state.h5.seal}, published by renaming the
 *  folder.  Each tensor is one dataset of its whole (true) shape; ranks write
 *  and read hyperslabs. */
#ifndef RT_CHECKPOINT_H
#define RT_CHECKPOINT_H

#include "base/err.h"
#include "base/hash.h"
#include "base/view.h"
#include <mpi.h>

/** A piece of one tensor in this rank's host memory. */
typedef struct rt_slab {
  const char *name;   /**< dataset, e.g. "w/model.norm.weight", "m/..." */
  int64_t rows, cols; /**< whole tensor */
  int64_t row0, col0; /**< where this piece lies; its size is data's */
  rt_view data;       /**< f32 or f64; zero rows: this rank has none */
} rt_slab;

typedef struct rt_checkpoint_meta {
  int64_t step;               /**< updates done */
  int64_t consumed;           /**< corpus rows consumed */
  int64_t tokens;             /**< tokens consumed */
  int64_t skipped;            /**< bad steps skipped so far */
  int64_t rows;               /**< rows of the training stream */
  uint64_t rows_xxh3;         /**< of tokens here and there in them */
  double norm_mean;           /**< running mean of the gradient norm (spikes) */
  char origin[RT_SHA256_HEX]; /**< of what the run began from; "" not known */
  char teacher[RT_SHA256_HEX]; /**< whom it learns from; "": none, or unknown */
  char *deck; /**< resolved deck; owned, free by rt_checkpoint_meta_clear */
  char *arch; /**< config.json text; owned */
  struct rt_h5_reader *file; /**< proven and open, for rt_checkpoint_read;
                                  owned; NULL when it is to be written */
} rt_checkpoint_meta;
void rt_checkpoint_meta_clear(rt_checkpoint_meta *meta);

/** Write and publish.  All ranks name the same tensors in the same order; a
 *  replica that is not its owner passes zero rows.  Free space is checked
 *  first; what was written is read back.  A failure on one rank is everybody's,
 *  and leaves the checkpoints that are there.  Collective. */
RT_MUST rt_err rt_checkpoint_write(MPI_Comm comm, const char *folder,
                                   const rt_checkpoint_meta *meta,
                                   const rt_slab *slabs, int n_slabs);

/** Newest checkpoint in \a folder that passes its seal; older ones are tried in
 *  turn, with a warning that says what was wrong. *step = -1: none is there.
 *  All broken: RT_ERR_DATA.  Collective. */
RT_MUST rt_err rt_checkpoint_newest(MPI_Comm comm, const char *folder,
                                    int64_t *step);
/** Check the seal, read what is not a tensor.  The file stays open in \a meta:
 *  what is read from it is what was checked.  Collective. */
RT_MUST rt_err rt_checkpoint_read_meta(MPI_Comm comm, const char *folder,
                                       int64_t step, rt_checkpoint_meta *meta);
/** The hash that closes its seal.  Not collective. */
RT_MUST rt_err rt_checkpoint_proof(const char *folder, int64_t step,
                                   uint64_t *hash);
/** Fill every slab from the checkpoint of \a meta.  Unknown names, other
 *  shapes: RT_ERR_DATA.  Collective. */
RT_MUST rt_err rt_checkpoint_read(MPI_Comm comm, const rt_checkpoint_meta *meta,
                                  rt_slab *slabs, int n_slabs);
/** Rename checkpoints of later steps than \a step, which were found damaged:
 *  they neither count among the last, nor are written over.  Rank 0 only. */
RT_MUST rt_err rt_checkpoint_set_aside(const char *folder, int64_t step);
/** Remove what is neither among the last \a keep_last nor at a multiple of
 *  \a keep_every (0: none), and left-over temporary folders.  Rank 0 only. */
RT_MUST rt_err rt_checkpoint_prune(const char *folder, int keep_last,
                                   int64_t keep_every);

#endif
