/** \file pieces.h
 *  Parts of a model's state between the device and a checkpoint.
 *  Layer: distill/train.  Not collective.
 *
 *  A tensor NAME is three datasets of its whole true shape, "w/NAME", "m/NAME"
 *  and "v/NAME".  Each rank writes the rows of its optimizer shard, of the
 *  weights too: over dp they differ, so the load is spread and every row is
 *  written once; of tp replicas only the first writes.  Vocabulary padding is
 *  not stored.  A reader asks for the rows that its own layout gives it. */
#ifndef RT_PIECES_H
#define RT_PIECES_H

#include "io/run/checkpoint.h"
#include "optim/adamw.h"

/** One slab, and where its rows lie on the device. */
typedef struct rt_piece {
  char name[104];  // "w/" and an rt_param's name
  rt_view on_dev;  // borrowed, contiguous true rows
  rt_view padding; // borrowed, the rows after them, zeroed by a reader
} rt_piece;

typedef struct rt_pieces {
  rt_dev *dev; // borrowed
  int n;
  rt_piece *piece; // owned [n]
  rt_slab *slab;   /**< owned [n], what a checkpoint is told */
  char *host;      // owned, NULL: the device's own memory is used
} rt_pieces;

/** Room for \a n_max; for rt_pieces_clear also after an error. */
RT_MUST rt_err rt_pieces_init(rt_pieces *s, rt_dev *dev, int n_max);
void rt_pieces_clear(rt_pieces *s);

/** Weights and moments as this rank writes them. */
void rt_pieces_add_written(rt_pieces *s, const rt_params *params,
                           rt_adamw *opt);
/** Whole tiles of weights: every replica reads what it needs. */
void rt_pieces_add_weights(rt_pieces *s, const rt_params *params);
/** The moments of this rank's shards, for reading. */
void rt_pieces_add_moments(rt_pieces *s, const rt_params *params,
                           rt_adamw *opt);

/** Where the file's side of each slab lies: on the device itself when the host
 *  can reach it, else in one block of host memory. */
RT_MUST rt_err rt_pieces_stage(rt_pieces *s);
/** That, with what the device holds: to be written. */
RT_MUST rt_err rt_pieces_from_device(rt_pieces *s);
/** What was read to the device; padding becomes 0. */
RT_MUST rt_err rt_pieces_to_device(rt_pieces *s);

#endif
