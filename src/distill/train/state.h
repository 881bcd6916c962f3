/** \file state.h
 *  Writes and reads weights and moments of a model in checkpoints.  Layer:
 *  distill/train.  All functions are collective. */
#ifndef RT_STATE_H
#define RT_STATE_H

#include "distill/train/pieces.h"
#include "par/comm.h"

/** The state to write or read.  All borrowed. */
typedef struct rt_state_spec {
  const rt_comm *world;
  rt_dev *dev;
  rt_params *params;  /**< committed */
  rt_adamw *opt;      /**< NULL: only weights, for reading */
  const char *folder; /**< folder of the checkpoints */
} rt_state_spec;

/** Write the checkpoint of step meta->step. */
RT_MUST rt_err rt_state_write(const rt_state_spec *spec,
                              const rt_checkpoint_meta *meta);

/** A checkpoint that is written while training goes on. */
typedef struct rt_state_writing {
  rt_pieces pieces;             // owned
  rt_checkpoint_writer *writer; /**< owned; NULL: nothing is being written */
} rt_state_writing;
/** Copy the state to \a block [rt_pieces_written_bytes], which \a worker then
 *  writes.  Go on with rt_checkpoint_go_on(&out->writer). */
RT_MUST rt_err rt_state_begin(const rt_state_spec *spec,
                              const rt_checkpoint_meta *meta, char *block,
                              rt_worker *worker, rt_state_writing *out);
/** Give up what is being written, if anything.  Not collective. */
void rt_state_writing_clear(rt_state_writing *writing);
/** Read the checkpoint of \a meta.  On the layout that wrote it (ranks, tp) the
 *  bits are identical; on any other, the same numbers are placed according to
 *  that layout.  RT_ERR_DATA: the checkpoint is damaged, and the state
 *  undefined until another one is read. */
RT_MUST rt_err rt_state_read(const rt_state_spec *spec,
                             const rt_checkpoint_meta *meta);

#endif
