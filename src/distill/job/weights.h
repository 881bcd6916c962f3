/** \file weights.h
 *  Loads weights from a Hugging Face folder; each rank reads its own tiles.
 *  Layer: distill/job.  Collective over \a world; errors are agreed upon. */
#ifndef RT_WEIGHTS_H
#define RT_WEIGHTS_H

#include "model/model.h"

/** Load all weights of a committed model. */
RT_MUST rt_err rt_weights_load(const rt_comm *world, rt_dev *dev,
                               rt_model *model, const char *folder);
/** Read rows [v0, v0 + w.rows) of the head of the folder's model, of shape \a
 *  arch, into the device view \a w [n, D]; rows beyond the model's V are set to
 *  zero. */
RT_MUST rt_err rt_weights_load_head(const rt_comm *world, rt_dev *dev,
                                    const rt_arch *arch, const char *folder,
                                    int64_t v0, rt_view w);

#endif
