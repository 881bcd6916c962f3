/** \file shard_pipe.h
 *  Encodes rows and writes shards in threads while the teacher computes the
 *  next rows.  Layer: distill/capture.  Not collective; main thread only.
 *
 *  One thread encodes the rows of the last micro-batch; another one writes the
 *  last shard, reads it back and hashes it.  There are as many writers as
 *  shards may be in hand: two, or one where memory does not allow more, which
 *  the next shard then waits for.  The same bits in either case. */
#ifndef RT_SHARD_PIPE_H
#define RT_SHARD_PIPE_H

#include "distill/capture/capture.h"
#include "distill/data/batch.h"
#include "distill/teacher/entries.h"

typedef struct rt_shard_pipe rt_shard_pipe;

/** All borrowed. */
typedef struct rt_shard_pipe_spec {
  const char *folder;
  const rt_logits_info *info;
  int64_t micro_rows; /**< maximum rows per call */
  int n_writers;      /**< 1 or 2 */
} rt_shard_pipe_spec;

/** Memory in bytes, if every token had the maximum number of entries. */
double rt_shard_pipe_bytes(const rt_shard_pipe_spec *spec);
/** The caller destroys *out, also after an error. */
RT_MUST rt_err rt_shard_pipe_create(const rt_shard_pipe_spec *spec,
                                    rt_shard_pipe **out);
/** Gives up what is not sealed.  NULL is accepted. */
void rt_shard_pipe_destroy(rt_shard_pipe **pipe);

/** Take the next \a n rows of shard \a i_shard, copying them.  Shards come one
 *  after the other, each complete.  Returns errors of earlier rows and shards,
 *  too. */
RT_MUST rt_err rt_shard_pipe_take(rt_shard_pipe *pipe, int64_t i_shard,
                                  const rt_entries *entries,
                                  const rt_batch *batch, int64_t n);
/** Wait until all complete shards are sealed. */
RT_MUST rt_err rt_shard_pipe_drain(rt_shard_pipe *pipe);
/** Rows of the shards sealed so far. */
int64_t rt_shard_pipe_sealed(const rt_shard_pipe *pipe);

#endif
