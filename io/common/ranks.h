/** \file ranks.h
 *  What the collective readers and writers of io need of MPI.  Layer: io.
 *
 *  Everything is collective over \a comm; rank 0 is the root.  Counts beyond
 *  2^31 bytes are split. */
#ifndef RT_GROUP_H
#define RT_GROUP_H

#include "base/err.h"
#include <mpi.h>
#include <stddef.h>
#include <stdint.h>

/** Forward a failing MPI call, where the communicator returns errors at all. */
#define RT_TRY_MPI(call)                                                       \
  do {                                                                         \
    const int rt_try_mpi_ = (call);                                            \
    if (rt_try_mpi_ != MPI_SUCCESS)                                            \
      return rt_group_mpi_error(rt_try_mpi_, __FILE__, __LINE__);              \
  } while (0)
rt_err rt_group_mpi_error(int code, const char *file, int line);

/** All ranks learn the worst: RT_OK when every rank passed RT_OK, else the
 *  error of the lowest failing rank, with its text on every rank. */
RT_MUST rt_err rt_group_agree(MPI_Comm comm, rt_err err);
RT_MUST rt_err rt_group_bcast(MPI_Comm comm, void *data, size_t bytes);
/** Rank 0's \a err; when RT_OK, its text too: others get a fresh copy, which
 *  the caller frees. */
RT_MUST rt_err rt_group_bcast_text(MPI_Comm comm, rt_err err, char **text,
                                   size_t *n);
/** Join the ranks' words in order of rank: a fresh array, the caller frees. */
RT_MUST rt_err rt_group_join(MPI_Comm comm, const uint64_t *mine, int64_t n,
                             uint64_t **all, int64_t *n_all);

#endif
