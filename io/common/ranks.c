/** \file ranks.c
 *  Agreement and data exchange among the ranks that share a file. */
#include "io/common/ranks.h"

#include <stdlib.h>
#include <string.h>

enum { MAX_BYTES = 1 << 28 }; // bytes of one MPI call, whose counts are int

static rt_err bcast(MPI_Comm comm, void *data, size_t bytes, int root)
{
  const double since = rt_ranks_enter("broadcast");
  for (size_t done = 0; done < bytes; done += MAX_BYTES) {
    const size_t n = bytes - done < MAX_BYTES ? bytes - done : MAX_BYTES;
    RT_TRY_MPI(MPI_Bcast((char *)data + done, (int)n, MPI_BYTE, root, comm));
  }
  rt_ranks_leave(since);
  return RT_OK;
}

rt_err rt_group_bcast(MPI_Comm comm, void *data, size_t bytes)
{
  return bcast(comm, data, bytes, 0);
}

static rt_err bcast_text(MPI_Comm comm, rt_err err, char **text, size_t *n)
{
  RT_TRY(rt_group_agree(comm, err));
  int rank;
  RT_TRY_MPI(MPI_Comm_rank(comm, &rank));
  RT_TRY(rt_group_bcast(comm, n, sizeof *n));
  if (rank != 0) {
    *text = malloc(*n + 1);
    if (*text == NULL)
      err = RT_FAIL(RT_ERR_MEM, "%zu bytes for a text from rank 0", *n + 1);
  }
  RT_TRY(rt_group_agree(comm, err));
  return rt_group_bcast(comm, *text, *n + 1);
}

rt_err rt_group_bcast_text(MPI_Comm comm, rt_err err, char **text, size_t *n)
{
  err = bcast_text(comm, err, text, n);
  if (err != RT_OK) {
    free(*text);
    *text = NULL;
  }
  return err;
}

/** Exchange the number of words of each rank, and allocate space for all. */
static rt_err make_room(MPI_Comm comm, int64_t n, int64_t *n_of, int n_ranks,
                        uint64_t **all, int64_t *n_all)
{
  RT_ASSERT(n_of != NULL); // the ranks have agreed
  RT_TRY_MEETING("all-gather",
                 MPI_Allgather(&n, 1, MPI_INT64_T, n_of, 1, MPI_INT64_T, comm));
  *n_all = 0;
  for (int r = 0; r < n_ranks; r++)
    *n_all += n_of[r];
  *all = malloc((size_t)(*n_all + 1) * sizeof **all);
  const rt_err err = *all != NULL ? RT_OK
                                  : RT_FAIL(RT_ERR_MEM, "a table of %lld words",
                                            (long long)*n_all);
  return rt_group_agree(comm, err);
}

/** Broadcast the words of each rank, in any number. */
static rt_err fill(MPI_Comm comm, const uint64_t *mine, const int64_t *n_of,
                   int n_ranks, uint64_t *all)
{
  int rank;
  RT_ASSERT(n_of != NULL && all != NULL); // the ranks have agreed
  RT_TRY_MPI(MPI_Comm_rank(comm, &rank));
  for (int r = 0; r < n_ranks; r++) {
    const size_t bytes = (size_t)n_of[r] * sizeof *all;
    if (r == rank && bytes > 0)
      memcpy(all, mine, bytes);
    RT_TRY(bcast(comm, all, bytes, r));
    all += n_of[r];
  }
  return RT_OK;
}

rt_err rt_group_join(MPI_Comm comm, const uint64_t *mine, int64_t n,
                     uint64_t **all, int64_t *n_all)
{
  *all = NULL;
  int n_ranks;
  RT_TRY_MPI(MPI_Comm_size(comm, &n_ranks));
  int64_t *const n_of = calloc((size_t)n_ranks, sizeof *n_of);
  rt_err err =
      n_of != NULL ? RT_OK : RT_FAIL(RT_ERR_MEM, "counts of %d ranks", n_ranks);
  err = rt_group_agree(comm, err);
  if (err == RT_OK)
    err = make_room(comm, n, n_of, n_ranks, all, n_all);
  if (err == RT_OK)
    err = fill(comm, mine, n_of, n_ranks, *all);
  free(n_of);
  if (err != RT_OK) {
    free(*all);
    *all = NULL;
    return rt_err_forward(err, __FILE__, __LINE__);
  }
  return RT_OK;
}
