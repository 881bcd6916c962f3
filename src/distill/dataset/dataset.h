/** \file dataset.h
 *  Actions of `retort logits`.  Layer: distill.  Collective over \a world;
 *  ranks divide the rows.  \a deck: the keys of the command line.  \a paths:
 *  folders, borrowed. */
#ifndef RT_DATASET_H
#define RT_DATASET_H

#include "deck/deck.h"
#include "io/logits/logits.h"
#include "par/comm.h"

/** Compare two datasets entry by entry; RT_ERR_DATA if they differ. */
RT_MUST rt_err rt_logits_diff_run(const rt_comm *world, char *const *paths);
/** Write a new dataset paths[1] with a range of rows, narrower truncation or
 *  another encoding, according to the capture.* keys of the command line. */
RT_MUST rt_err rt_logits_select_run(const rt_comm *world, const rt_deck *deck,
                                    char *const *paths);
/** Export rows as numpy arrays to the new folder paths[1], or as JSON lines to
 *  the new file paths[1], whose name ends in .jsonl. */
RT_MUST rt_err rt_logits_export_run(const rt_comm *world, const rt_deck *deck,
                                    char *const *paths);

/** Check every hash and rule, and the ids against data.files if set. */
RT_MUST rt_err rt_logits_verify(const rt_comm *world, const rt_deck *deck,
                                const rt_logits *ds);

/** Print a histogram of the number of entries, and the numbers for narrower
 *  truncation.  Reads at most \a max_rows evenly spaced rows, and says so. */
RT_MUST rt_err rt_logits_print_counts(const rt_logits *ds, int64_t max_rows,
                                      const rt_comm *world);

/** The rows of \a ds selected by capture.first_row and capture.rows of the
 *  command line, counted within the dataset: [*begin, *end). */
RT_MUST rt_err rt_logits_range(const rt_logits *ds, const rt_deck *deck,
                               int64_t *begin, int64_t *end);

#endif
