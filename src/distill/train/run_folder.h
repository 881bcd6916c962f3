/** \file run_folder.h
 *  The output folder of a run, and its dataset.md, which describes what the
 *  student was trained on.  Layer: distill/train.  Not collective. */
#ifndef RT_RUN_FOLDER_H
#define RT_RUN_FOLDER_H

#include "base/file.h"
#include "io/logits/logits.h"

#define RT_RUN_CARD "dataset.md"

/** The folder of a run's checkpoints: RUN_FOLDER/checkpoints. */
RT_MUST rt_err rt_run_folder_checkpoints(char out[RT_PATH_MAX],
                                         const char *run_folder);
/** Check that no deck or configuration of the user is overwritten: the folder
 *  of a run contains metrics or checkpoints as well.  RT_ERR_LOCKED. */
RT_MUST rt_err rt_run_folder_check(const char *folder);
/** Keep a copy of FOLDER/metrics.jsonl, if there is one, before it is cut by a
 *  run that falls back to an older checkpoint: metrics.jsonl.damaged, or
 *  .damaged-2 ... */
RT_MUST rt_err rt_run_folder_keep_metrics(const char *folder);
/** Remove what killed runs left in it (rt_lock_sweep), if a run has written
 *  into it. */
void rt_run_folder_sweep(const char *folder);

/** What dataset.md says: a dataset, and how a run uses its rows.  All borrowed.
 */
typedef struct rt_run_card {
  const rt_logits *dataset; /**< NULL: there is none */
  const char *dataset_folder;
  int64_t seq;         /**< tokens of a student's row */
  int64_t pieces;      /**< student's rows of a captured row; 0: it is whole */
  const char *row_cut; /**< teacher.row_cut */
  const char *cut_means; /**< what that means for what the student sees */
  double top_p;          /**< to which entries are narrowed, as is top_k */
  int64_t top_k;
} rt_run_card;
/** Write FOLDER/dataset.md: the dataset with its hashes and licence, and how
 * its rows are used (cut, narrowed).  Does nothing without a dataset.  One
 * rank. */
RT_MUST rt_err rt_run_card_write(const rt_run_card *card, const char *folder);
/** Copy it with the weights, from the run's \a folder to \a out, if it exists.
 *  One rank. */
RT_MUST rt_err rt_run_card_copy(const char *folder, const char *out);

#endif
