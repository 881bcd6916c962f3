/** \file saved.h
 *  What a checkpoint says of itself, and whether it fits a model.  A checkpoint
 *  that contradicts itself is damaged (RT_ERR_DATA); one that another version
 *  or another student wrote is refused (RT_ERR_CONFIG).  Layer: distill/train.
 *  Not collective. */
#ifndef RT_SAVED_H
#define RT_SAVED_H

#include "deck/deck.h"
#include "io/run/checkpoint.h"
#include "model/params.h"

/** The texts of a checkpoint, and the tensors of its model. */
typedef struct rt_saved {
  int64_t step;
  rt_deck *deck; // owned
  rt_arch arch;
  rt_dtype real; /**< of its weights as they are stored */
  // a layout of one rank without memory
  rt_comm *self;    // owned
  rt_grid grid;     // owned
  rt_arena *arena;  // owned, never committed
  rt_params params; // owned
} rt_saved;

/** Read the texts of \a meta.  The caller clears \a out, also after an error.
 *  RT_ERR_DATA: a text is none of its kind; RT_ERR_CONFIG: it has keys or
 *  values that this version does not know. */
RT_MUST rt_err rt_saved_init(rt_saved *out, const rt_checkpoint_meta *meta);
void rt_saved_clear(rt_saved *saved);
/** RT_ERR_CONFIG, with the first difference, if the tensors \a now of the
 *  student have another shape or type: no key can allow that. */
RT_MUST rt_err rt_saved_fits(const rt_saved *saved, const rt_params *now);

#endif
