/** \file run_folder.h
 *  The folder of a run: what it holds, and dataset.md, on what its student was
 *  trained.  Layer: distill/train.  Not collective. */
#ifndef RT_RUN_FOLDER_H
#define RT_RUN_FOLDER_H

#include "base/file.h"
#include "distill/job/job.h"

#define RT_RUN_CARD "dataset.md"

/** Where a run's checkpoints lie: RUN_FOLDER/checkpoints. */
RT_MUST rt_err rt_run_folder_checkpoints(char out[RT_PATH_MAX],
                                         const char *run_folder);
/** A deck or a configuration of the user's own is not overwritten: a run's
 *  folder has metrics or checkpoints beside them.  RT_ERR_LOCKED. */
RT_MUST rt_err rt_run_folder_check(const char *folder);

/** FOLDER/dataset.md: the dataset of \a job with its proof and licence, and how
 *  its rows are used (cut, narrowed).  Nothing without a dataset.  One rank. */
RT_MUST rt_err rt_run_card_write(const rt_job *job, const char *folder);
/** It goes with the weights: from the run's \a folder to \a out, if it is
 *  there.  One rank. */
RT_MUST rt_err rt_run_card_copy(const char *folder, const char *out);

#endif
