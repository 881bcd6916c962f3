/** \file pieces.h
 *  Transfers parts of a model's state between the device and a checkpoint.
 *  Layer: distill/train.  Not collective.
 *
 *  A tensor NAME is stored in three datasets with its full shape, "w/NAME",
 *  "m/NAME" and "v/NAME"; weights are stored as masters, whatever the type that
 *  a run computes in.  Each rank writes the rows of its optimizer shard, and
 * the same rows of the weights: these differ over dp, so the work is divided
 * and every row is written once; of tp replicas only the first writes.
 *  Vocabulary padding is not stored.  A reader requests the rows of its own
 *  layout. */
#ifndef RT_PIECES_H
#define RT_PIECES_H

#include "io/run/checkpoint.h"
#include "optim/adamw.h"

/** A slab, and the location of its rows on the device. */
typedef struct rt_piece {
  char name[104];  // "w/" and an rt_param's name
  rt_view on_dev;  // borrowed, contiguous true rows
  rt_view padding; // borrowed, the rows after them, zeroed by a reader
} rt_piece;

typedef struct rt_pieces {
  rt_dev *dev; // borrowed
  int n;
  rt_piece *piece; // owned [n]
  rt_slab *slab;   /**< owned [n], passed to the checkpoint */
  char *host;      // owned; NULL: device memory, or the caller's, is used
} rt_pieces;

/** Allocate for \a n_max pieces; call rt_pieces_clear also after an error. */
RT_MUST rt_err rt_pieces_init(rt_pieces *s, rt_dev *dev, int n_max);
void rt_pieces_clear(rt_pieces *s);

/** Add the weights and moments that this rank writes. */
void rt_pieces_add_written(rt_pieces *s, const rt_params *params,
                           rt_adamw *opt);
/** Add whole tiles of weights for reading: every replica reads what it needs.
 */
void rt_pieces_add_weights(rt_pieces *s, const rt_params *params);
/** Add the masters of this rank's shards, for reading. */
void rt_pieces_add_masters(rt_pieces *s, const rt_params *params);
/** Add the moments of this rank's shards, for reading. */
void rt_pieces_add_moments(rt_pieces *s, const rt_params *params,
                           rt_adamw *opt);

/** Assign host memory to each slab: device memory itself if the host can access
 *  it, otherwise part of one block. */
RT_MUST rt_err rt_pieces_stage(rt_pieces *s);
/** The same, filled with the device's data, for writing. */
RT_MUST rt_err rt_pieces_from_device(rt_pieces *s);
/** Bytes of the weights and moments that this rank writes; also before their
 *  memory is allocated. */
size_t rt_pieces_written_bytes(const rt_params *params, rt_adamw *opt);
/** Copy the device's data to \a block, of that many bytes, and assign it to the
 *  slabs.  Later changes on the device do not touch the copy. */
RT_MUST rt_err rt_pieces_copy(rt_pieces *s, char *block);
/** RT_ERR_DATA if what was read cannot be the state of a run: weights and first
 *  moments are finite, second moments not negative. */
RT_MUST rt_err rt_pieces_check(const rt_slab *slabs, int n);
/** Copy what was read to the device; set padding to 0. */
RT_MUST rt_err rt_pieces_to_device(rt_pieces *s);

#endif
