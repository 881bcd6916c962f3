/** \file corpus_dataset.h
 *  A corpus file, and a dataset of logits of its training rows. */
#ifndef RT_CORPUS_DATASET_H
#define RT_CORPUS_DATASET_H

#include "support/corpus_files.h"
#include "support/logits_rows.h"

/** Raw ids [n]: id i is \a first + i % 97; documents end at every 29th. */
void put_ids(const char *path, int n, int first);

/** How put_ids' file is opened here: all of it is for training. */
rt_corpus_spec plain_spec(const char *const *file, int64_t seq);

/** Rows of \a corpus from info->first_row on, with make_row's entries, into a
 *  finished dataset. */
void put_dataset(const char *to, const rt_logits_info *info,
                 const rt_corpus *corpus);

/** What a capture would say of \a n_rows rows of \a corpus. */
rt_logits_info info_of_corpus(const rt_corpus *corpus, int64_t first_row,
                              int64_t n_rows);

#endif
