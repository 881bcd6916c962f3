/** \file ranks.h
 *  What the collective readers and writers of io need of MPI.  Layer: io.
 *
 *  Everything is collective over \a comm; rank 0 is the root.  Counts beyond
 *  2^31 bytes are split. */
#ifndef RT_GROUP_H
#define RT_GROUP_H

#include "ranks/agree.h"
#include <stddef.h>
#include <stdint.h>

/** All ranks learn the worst (rt_agree_ranks, RT_SOON): who fails may go to any
 *  agreement of the same ranks, and no rank waits for ever. */
#define rt_group_agree(comm, err) rt_agree_ranks(comm, err, RT_SOON, RT_HERE)
RT_MUST rt_err rt_group_bcast(MPI_Comm comm, void *data, size_t bytes);
/** Rank 0's \a err; when RT_OK, its text too: others get a fresh copy, which
 *  the caller frees. */
RT_MUST rt_err rt_group_bcast_text(MPI_Comm comm, rt_err err, char **text,
                                   size_t *n);
/** Join the ranks' words in order of rank: a fresh array, the caller frees. */
RT_MUST rt_err rt_group_join(MPI_Comm comm, const uint64_t *mine, int64_t n,
                             uint64_t **all, int64_t *n_all);

#endif
