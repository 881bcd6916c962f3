/** \file capture.h
 *  Code shared by `retort capture` and the capture of a teacher during its
 *  training: the description of the dataset, its folder, sealing.  Layer:
 *  distill.  Not collective, except for rt_capture_hash. */
#ifndef RT_CAPTURE_H
#define RT_CAPTURE_H

#include "deck/deck.h"
#include "distill/data/rows.h"
#include "io/logits/logits.h"
#include "par/comm.h"

/** Hashes that identify the large inputs. */
typedef struct rt_capture_hashes {
  int64_t version; /**< version of the dataset, which determines how they are
                      computed */
  char corpus[RT_SHA256_HEX];
  char teacher[RT_SHA256_HEX]; /**< of teacher.weights; "" without them */
} rt_capture_hashes;
/** The hashes in the version of the dataset in \a folder, if there is one, so
 *  that an older capture can be resumed.  Reads corpus and \a weights (NULL:
 *  none).  Collective. */
RT_MUST rt_err rt_capture_hash(const rt_comm *world, const rt_corpus *corpus,
                               const char *folder, const char *weights,
                               rt_capture_hashes *out);
/** Set version and hashes. */
void rt_capture_identify(const rt_capture_hashes *hashes, rt_logits_info *info);
/** Rows of a capture: [first, first + n) of a training stream of \a there rows
 *  of \a seq tokens; *n 0: as many as there are. */
RT_MUST rt_err rt_capture_rows(int64_t there, int64_t seq, int64_t first,
                               int64_t *n);
/** Set what depends on rows and vocabulary: top_k for draws, and shard_rows if
 *  it is 0. */
void rt_capture_complete(rt_logits_info *info);
/** RT_ERR_CONFIG if such a dataset is impossible (too many shards, ...). */
RT_MUST rt_err rt_capture_check(const rt_logits_info *info);
/** Maximum number of entries per token. */
int64_t rt_capture_max_entries(const rt_logits_info *info);
/** Memory in bytes of the writer of a shard, if every token had the maximum
 *  number of entries. */
double rt_capture_writer_bytes(const rt_logits_info *info);
/** Of the records of a shard alone. */
double rt_capture_records_bytes(const rt_logits_info *info);

/** Create the folder with the dataset \a info, or find what an earlier run
 *  left: done [n_shards] are sealed; \a finished: the dataset is complete and
 *  unchanged.  Before anything is created, checks that the rest fits on the
 *  disk.  One rank. */
RT_MUST rt_err rt_capture_begin(const rt_deck *deck, const char *folder,
                                const rt_logits_info *info, bool *done,
                                bool *finished);

/** Seal the writer's current shard; RT_ERR_IO says how much disk space is
 *  missing. */
RT_MUST rt_err rt_capture_seal(const char *folder, int64_t i_shard,
                               rt_logits_writer *w);
/** The same around rt_logits_writer_put: before it, and with its result. */
RT_MUST rt_err rt_capture_seal_begin(const char *folder, int64_t i_shard,
                                     rt_logits_writer *w);
RT_MUST rt_err rt_capture_seal_end(rt_err err, const char *folder,
                                   int64_t i_shard, rt_logits_writer *w);
/** The last component of a folder's path, as a dataset should not contain local
 *  paths. */
void rt_capture_name(const char *folder, char *name, size_t n);

#endif
