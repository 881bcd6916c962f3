/** \file logits_log.h
 *  A log of the rows of a shard that is not sealed yet.  Layer: io.
 *
 *  A teacher captured during its training fills a shard slowly and sees each
 *  row only once, so rows held only in memory would be lost with the job.  The
 *  log keeps them in the encoding `exact`, so that the shard is the same with
 *  and without a restart.  Each row is u64 bytes, u64 XXH3, and the record. */
#ifndef RT_LOGITS_LOG_H
#define RT_LOGITS_LOG_H

#include "io/logits/logits.h"

/** Opaque, heap; not collective, one writer. */
typedef struct rt_logits_log rt_logits_log;

/** Open the log of shard \a i_shard in \a folder, creating it if absent.  First
 *  read its rows one by one, then add rows. */
RT_MUST rt_err rt_logits_log_open(const char *folder,
                                  const rt_logits_info *info, int64_t i_shard,
                                  rt_logits_log **out);
/** Read the next row of an earlier run; RT_ERR_DATA if there is none or it is
 *  damaged. */
RT_MUST rt_err rt_logits_log_next(rt_logits_log *log, rt_logits_row *row);
/** Append a row after the last one read or added; the first append truncates
 *  the rest. */
RT_MUST rt_err rt_logits_log_add(rt_logits_log *log, const rt_logits_row *row);
/** Sync to disk: the rows added survive a power failure. */
RT_MUST rt_err rt_logits_log_sync(rt_logits_log *log);
void rt_logits_log_close(rt_logits_log **log);
/** Close the log and remove its file, once the shard is sealed. */
RT_MUST rt_err rt_logits_log_remove(rt_logits_log **log);

#endif
