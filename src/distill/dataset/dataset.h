/** \file dataset.h
 *  The actions of `retort logits` that have a file of their own.  Layer:
 *  distill.  Collective over \a world; ranks share the rows.  \a deck: the keys
 *  of the command line.  \a paths: folders, borrowed. */
#ifndef RT_LOGITS_TOOLS_H
#define RT_LOGITS_TOOLS_H

#include "deck/deck.h"
#include "io/logits/logits.h"
#include "par/comm.h"

/** Two datasets, entry by entry; RT_ERR_DATA when they differ. */
RT_MUST rt_err rt_logits_diff_run(const rt_comm *world, char *const *paths);
/** Rows, a narrower rule, another encoding, into the new dataset paths[1]; by
 *  the capture.* keys of the command line. */
RT_MUST rt_err rt_logits_select_run(const rt_comm *world, const rt_deck *deck,
                                    char *const *paths);
/** Rows for numpy into the new folder paths[1], or as JSON lines into the new
 *  file paths[1], whose name ends in .jsonl. */
RT_MUST rt_err rt_logits_export_run(const rt_comm *world, const rt_deck *deck,
                                    char *const *paths);

/** Every hash and rule, and the ids against data.files when they are given. */
RT_MUST rt_err rt_logits_verify(const rt_comm *world, const rt_deck *deck,
                                const rt_logits *ds);

/** What `info` says of the entries: a histogram of their number, and how many
 *  there would be under narrower rules.  Reads at most \a max_rows rows, spread
 *  evenly, and says so. */
RT_MUST rt_err rt_logits_print_counts(const rt_logits *ds, int64_t max_rows,
                                      const rt_comm *world);

/** Rows of \a ds that capture.first_row and capture.rows of the command line
 *  ask for, counted in the dataset: [*begin, *end). */
RT_MUST rt_err rt_logits_range(const rt_logits *ds, const rt_deck *deck,
                               int64_t *begin, int64_t *end);

#endif
