/** \file skip_call.c
 *  A preload library with which one rank skips one collective, as if the
 *  program had forgotten it.
 *    SKIP_RANK=1 SKIP_CALL=MPI_Allgather   the first call of this name
 *    SKIP_AT=3                             the third one
 *    SKIP_STOP=1                           the process stops there instead */
#include <mpi.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

/** Should this call of \a name be skipped? */
static bool skips(const char *name)
{
  static int n; // a preloaded library has no other place for it
  const char *const rank = getenv("OMPI_COMM_WORLD_RANK");
  const char *const which = getenv("SKIP_RANK"), *call = getenv("SKIP_CALL");
  const char *const at = getenv("SKIP_AT");
  if (rank == NULL || which == NULL || call == NULL ||
      strcmp(rank, which) != 0 || strcmp(name, call) != 0)
    return false;
  n++;
  if (n != (at != NULL ? atoi(at) : 1))
    return false;
  if (getenv("SKIP_STOP") != NULL)
    raise(SIGSTOP);
  return true;
}

int MPI_Allgather(const void *mine, int n, MPI_Datatype type, void *all,
                  int n_all, MPI_Datatype type_all, MPI_Comm comm)
{
  return skips("MPI_Allgather")
             ? MPI_SUCCESS
             : PMPI_Allgather(mine, n, type, all, n_all, type_all, comm);
}

int MPI_Allreduce(const void *mine, void *all, int n, MPI_Datatype type,
                  MPI_Op op, MPI_Comm comm)
{
  return skips("MPI_Allreduce") ? MPI_SUCCESS
                                : PMPI_Allreduce(mine, all, n, type, op, comm);
}

int MPI_Bcast(void *data, int n, MPI_Datatype type, int root, MPI_Comm comm)
{
  return skips("MPI_Bcast") ? MPI_SUCCESS
                            : PMPI_Bcast(data, n, type, root, comm);
}
