/** \file state.h
 *  Weights and moments of a model to and from checkpoints.
 *  Layer: distill/train.  All are collective. */
#ifndef RT_STATE_H
#define RT_STATE_H

#include "distill/train/pieces.h"
#include "par/comm.h"

/** Whose state.  All borrowed. */
typedef struct rt_state_spec {
  const rt_comm *world;
  rt_dev *dev;
  rt_params *params;  /**< committed */
  rt_adamw *opt;      /**< NULL: weights alone, for reading */
  const char *folder; /**< of the checkpoints */
} rt_state_spec;

/** Write the checkpoint of step meta->step. */
RT_MUST rt_err rt_state_write(const rt_state_spec *spec,
                              const rt_checkpoint_meta *meta);
/** Read that of \a meta.  On the layout that wrote it (ranks, tp) the same
 *  bits; on any other the same numbers where they belong there. */
RT_MUST rt_err rt_state_read(const rt_state_spec *spec,
                             const rt_checkpoint_meta *meta);

#endif
