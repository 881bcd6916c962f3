/** \file logits_rows.h
 *  Rows of logits that are a function of their number. */
#ifndef RT_LOGITS_ROWS_H
#define RT_LOGITS_ROWS_H

#include "base/rng.h"
#include "io/logits/logits.h"
#include <math.h>
#include <stdlib.h>

static const rt_logits_info small = {.version = RT_LOGITS_VERSION,
                                     .seq = 5,
                                     .vocab = 70000,
                                     .n_rows = 23,
                                     .shard_rows = 8,
                                     .encoding = "exact",
                                     .top_p = 1.0 / 3.0,
                                     .top_k = 9,
                                     .temperature = 1.0,
                                     .license = "CC0",
                                     .split_seed = 72057594037927935};

/** Row \a i of every dataset here: a function of (info, i).  Every seventh has
 *  no entries, but of draws all have theirs. */
rt_logits_row make_row(const rt_logits_info *info, int64_t i);

/** One rank writes shard \a i of make_row's rows. */
rt_err write_shard(const char *to, const rt_logits_info *info, int64_t i);

/** All rows as they should be; free with free_rows. */
rt_logits_row *make_rows(const rt_logits_info *info);

void free_rows(rt_logits_row *rows, int64_t n);

/** Put entries of equal log-prob in order of their ids. */
void sort_ties(rt_logits_row *row);

#endif
