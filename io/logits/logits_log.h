/** \file logits_log.h
 *  Rows of a shard that is not sealed yet, on disk.  Layer: io.
 *
 *  A teacher in training fills a shard slowly and sees each row only once: what
 *  is in memory only would be lost with the job.  The log keeps it, in the
 *  encoding `exact`, so that the shard is the same with and without a restart.
 *  Each row is u64 bytes, u64 XXH3 of them, and the record. */
#ifndef RT_LOGITS_LOG_H
#define RT_LOGITS_LOG_H

#include "io/logits/logits.h"

/** Opaque, heap; not collective, one writer. */
typedef struct rt_logits_log rt_logits_log;

/** The log of shard \a i_shard in \a folder, made when it is not there.  What
 *  it has is read first, row by row, then rows are added. */
RT_MUST rt_err rt_logits_log_open(const char *folder,
                                  const rt_logits_info *info, int64_t i_shard,
                                  rt_logits_log **out);
/** The next row of an earlier run; RT_ERR_DATA when there is none, or it is
 *  damaged. */
RT_MUST rt_err rt_logits_log_next(rt_logits_log *log, rt_logits_row *row);
/** Add a row after the last one that was read or added; the first one drops
 *  what follows. */
RT_MUST rt_err rt_logits_log_add(rt_logits_log *log, const rt_logits_row *row);
/** What was added survives a power failure. */
RT_MUST rt_err rt_logits_log_sync(rt_logits_log *log);
void rt_logits_log_close(rt_logits_log **log);
/** Close it and remove its file: the shard is sealed. */
RT_MUST rt_err rt_logits_log_remove(rt_logits_log **log);

#endif
