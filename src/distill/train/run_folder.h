/** \file run_folder.h
 *  dataset.md of a run: on what its student was trained.  Layer: distill. */
#ifndef RT_RUN_CARD_H
#define RT_RUN_CARD_H

#include "distill/job/job.h"

#define RT_RUN_CARD "dataset.md"

/** FOLDER/dataset.md: the dataset of \a job with its proof and licence, and how
 *  its rows are used (cut, narrowed).  Nothing without a dataset.  One rank. */
RT_MUST rt_err rt_run_card_write(const rt_job *job, const char *folder);
/** It goes with the weights: from the run's \a folder to \a out, if it is
 *  there.  One rank. */
RT_MUST rt_err rt_run_card_copy(const char *folder, const char *out);

#endif
