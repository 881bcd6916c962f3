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
/** Read the checkpoint of \a meta.  On the layout that wrote it (ranks, tp) the
 *  bits are identical; on any other, the same numbers are placed according to
 *  that layout.  RT_ERR_DATA: the checkpoint is damaged, and the state
 *  undefined until another one is read. */
RT_MUST rt_err rt_state_read(const rt_state_spec *spec,
                             const rt_checkpoint_meta *meta);

#endif
