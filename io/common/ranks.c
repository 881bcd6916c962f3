/** \file ranks.c
 *  Agreement and exchange among the ranks that share a file. */
#include "io/common/ranks.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>

enum { TEXT_MAX = 4096 }; // an error's text

rt_err rt_group_mpi_error(int code, const char *file, int line)
{
  char text[MPI_MAX_ERROR_STRING] = "";
  int n;
  MPI_Error_string(code, text, &n);
  return rt_err_set(RT_ERR_INTERNAL, file, line, "MPI: %s", text);
}

rt_err rt_group_agree(MPI_Comm comm, rt_err err)
{
  int rank, n_ranks;
  RT_TRY_MPI(MPI_Comm_rank(comm, &rank));
  RT_TRY_MPI(MPI_Comm_size(comm, &n_ranks));
  int mine = err == RT_OK ? n_ranks : rank, first;
  RT_TRY_MPI(MPI_Allreduce(&mine, &first, 1, MPI_INT, MPI_MIN, comm));
  if (first == n_ranks)
    return RT_OK;
  struct {
    int err;
    char text[TEXT_MAX];
  } told = {(int)err, ""};
  strncpy(told.text, rt_err_text(), sizeof told.text - 1);
  RT_TRY_MPI(MPI_Bcast(&told, (int)sizeof told, MPI_BYTE, first, comm));
  if (rank == first)
    return rt_err_forward(err, __FILE__, __LINE__);
  return RT_FAIL((rt_err)told.err, "%s", told.text);
}

rt_err rt_group_bcast(MPI_Comm comm, void *data, size_t bytes)
{
  for (size_t done = 0; done < bytes;) {
    const size_t left = bytes - done;
    const int n = left < INT_MAX ? (int)left : INT_MAX;
    RT_TRY_MPI(MPI_Bcast((char *)data + done, n, MPI_BYTE, 0, comm));
    done += (size_t)n;
  }
  return RT_OK;
}

rt_err rt_group_bcast_text(MPI_Comm comm, rt_err err, char **text, size_t *n)
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

/** Where each rank's words start: [n_ranks] counts and starts. */
static rt_err layout(MPI_Comm comm, int64_t n, int n_ranks, int *counts,
                     int *starts, int64_t *n_all)
{
  int mine = n <= INT_MAX ? (int)n : -1;
  RT_TRY_MPI(MPI_Allgather(&mine, 1, MPI_INT, counts, 1, MPI_INT, comm));
  *n_all = 0;
  for (int r = 0; r < n_ranks; r++) {
    RT_CHECK(counts[r] >= 0 && *n_all + counts[r] <= INT_MAX, RT_ERR_MEM,
             "a table of more than %d words to exchange", INT_MAX);
    starts[r] = (int)*n_all;
    *n_all += counts[r];
  }
  return RT_OK;
}

rt_err rt_group_join(MPI_Comm comm, const uint64_t *mine, int64_t n,
                     uint64_t **all, int64_t *n_all)
{
  *all = NULL;
  int n_ranks;
  RT_TRY_MPI(MPI_Comm_size(comm, &n_ranks));
  int *const counts = calloc((size_t)n_ranks * 2, sizeof *counts);
  rt_err err = counts != NULL
                   ? RT_OK
                   : RT_FAIL(RT_ERR_MEM, "counts of %d ranks", n_ranks);
  err = rt_group_agree(comm, err);
  if (err != RT_OK) {
    free(counts);
    return rt_err_forward(err, __FILE__, __LINE__);
  }
  RT_ASSERT(counts != NULL);
  int *const starts = counts + n_ranks;
  err = layout(comm, n, n_ranks, counts, starts, n_all);
  if (err == RT_OK) {
    *all = malloc((size_t)(*n_all + 1) * sizeof **all);
    if (*all == NULL)
      err = RT_FAIL(RT_ERR_MEM, "a table of %lld words", (long long)*n_all);
    err = rt_group_agree(comm, err);
  }
  if (err == RT_OK) {
    const int code = MPI_Allgatherv(mine, (int)n, MPI_UINT64_T, *all, counts,
                                    starts, MPI_UINT64_T, comm);
    if (code != MPI_SUCCESS)
      err = rt_group_mpi_error(code, __FILE__, __LINE__);
  }
  free(counts);
  if (err != RT_OK) {
    free(*all);
    *all = NULL;
    return rt_err_forward(err, __FILE__, __LINE__);
  }
  return RT_OK;
}
