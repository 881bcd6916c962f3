/** \file logits_scene.h
 *  Datasets of small rows in a scratch folder, for suites of one or more ranks.
 */
#ifndef RT_LOGITS_SCENE_H
#define RT_LOGITS_SCENE_H

#include "base/log.h"
#include "io/logits/logits_manifest.h"
#include "support/logits_rows.h"
#include "support/rt_test.h"
#include "support/scratch.h"

extern char folder[RT_PATH_MAX];
extern int my_rank, n_ranks;

void begin(void);

rt_logits_info info_of(int64_t seq, int64_t vocab, int64_t n_rows,
                       int64_t shard_rows);

/** A whole dataset by this rank alone. */
void write_alone(const char *to, const rt_logits_info *info);

/** A whole dataset, each shard by one of the ranks. */
void write_together(const char *to, const rt_logits_info *info);

/** Rows that are not as expected; -1 when one cannot be read. */
int64_t n_wrong(const rt_logits *ds, const rt_logits_row *expected);

void check_dataset(MPI_Comm comm, const char *from, const rt_logits_info *info);

#endif
