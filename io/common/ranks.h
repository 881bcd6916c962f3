/** \file ranks.h
 *  MPI helpers of the collective readers and writers of io.  Layer: io.
 *
 *  Everything is collective over \a comm; rank 0 is the root.  Messages beyond
 *  2^31 bytes are split. */
#ifndef RT_RANKS_H
#define RT_RANKS_H

#include "ranks/agree.h"
#include <stddef.h>
#include <stdint.h>

/** Agree on the most severe error (rt_agree_ranks, RT_SOON): a rank that fails
 *  may proceed to any agreement of the same ranks, and no rank waits forever.
 */
#define rt_group_agree(comm, err) rt_agree_ranks(comm, err, RT_SOON, RT_HERE)
RT_MUST rt_err rt_group_bcast(MPI_Comm comm, void *data, size_t bytes);
/** Broadcast rank 0's \a err and, if that is RT_OK, its \a text: the other
 *  ranks receive a copy, which the caller frees.  After an error, also of
 * another rank, *text is freed and NULL on every rank. */
RT_MUST rt_err rt_group_bcast_text(MPI_Comm comm, rt_err err, char **text,
                                   size_t *n);
/** Concatenate the ranks' words in rank order; the caller frees the array. */
RT_MUST rt_err rt_group_join(MPI_Comm comm, const uint64_t *mine, int64_t n,
                             uint64_t **all, int64_t *n_all);

#endif
