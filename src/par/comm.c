/** \file comm.c
 *  Communicators, and collectives on host data. */
#include "par/comm_impl.h"

#include <stdlib.h>
#include <string.h>

// gathers of at least this size use shared memory
enum { SHARED_FROM = 64 << 10 };

/** The part that can fail on a single rank. */
static rt_err allocate(rt_comm **out)
{
  rt_comm *c = calloc(1, sizeof *c);
  *out = c;
  RT_CHECK(c != NULL, RT_ERR_MEM, "a communicator");
  c->comm = MPI_COMM_NULL;
  c->sum_bf16 = MPI_OP_NULL;
  c->max = RT_COMM_MOST;
  c->lane = calloc(1, sizeof *c->lane);
  RT_CHECK(c->lane != NULL, RT_ERR_MEM, "a communicator");
  c->lane->n_due = 2;
  return RT_OK;
}

/** Set up c->comm, in which this rank's name is \a number, or its rank if that
 *  is negative. */
static rt_err set_up(rt_comm *c, int number)
{
  RT_TRY_MPI(MPI_Comm_set_errhandler(c->comm, MPI_ERRORS_RETURN));
  RT_TRY_MPI(MPI_Comm_rank(c->comm, &c->rank));
  RT_TRY_MPI(MPI_Comm_size(c->comm, &c->size));
  RT_TRY(rt_comm_mpi_start(c));
  const double since = rt_ranks_enter("a new group");
  const rt_err err =
      rt_quorum_init(c->comm, number < 0 ? c->rank : number, &c->quorum);
  rt_ranks_leave(since);
  return err;
}

rt_err rt_comm_create(MPI_Comm comm, rt_comm **out)
{
  RT_TRY(allocate(out));
  RT_TRY_MEETING("a new group", MPI_Comm_dup(comm, &(*out)->comm));
  return set_up(*out, -1);
}

rt_err rt_comm_split(const rt_comm *comm, int color, int key, rt_comm **out)
{
  const bool in = color >= 0;
  *out = NULL;
  rt_comm *c = NULL;
  const rt_err err = rt_agree(comm, in ? allocate(&c) : RT_OK);
  MPI_Comm part = MPI_COMM_NULL;
  *out = c;
  RT_TRY(err);
  RT_TRY_MEETING(
      "a new group",
      MPI_Comm_split(comm->comm, in ? color : MPI_UNDEFINED, key, &part));
  if (!in)
    return RT_OK;
  c->comm = part;
  return set_up(c, comm->quorum.number);
}

rt_err rt_comm_split_node(const rt_comm *comm, rt_comm **out)
{
  rt_comm *c = NULL;
  const rt_err err = rt_agree(comm, allocate(&c));
  *out = c;
  RT_TRY(err);
  RT_TRY_MEETING("a new group",
                 MPI_Comm_split_type(comm->comm, MPI_COMM_TYPE_SHARED,
                                     comm->rank, MPI_INFO_NULL, &c->comm));
  return set_up(c, comm->quorum.number);
}

size_t rt_comm_shared_bytes(const rt_comm *comm)
{
  return comm->size > 1 ? rt_shm_bytes() : 0;
}

void rt_comm_destroy(rt_comm **comm)
{
  rt_comm *c = *comm;
  *comm = NULL;
  if (c == NULL)
    return;
  if (c->lane != NULL)
    rt_shm_destroy(&c->lane->shm);
  if (c->lane != NULL)
    rt_exchanges_destroy(&c->lane->exchanges);
  if (c->comm != MPI_COMM_NULL)
    MPI_Comm_free(&c->comm);
  if (c->sum_bf16 != MPI_OP_NULL)
    MPI_Op_free(&c->sum_bf16);
  free(c->lane);
  free(c);
}

void rt_comm_only_mpi(rt_comm *comm, size_t max)
{
  comm->max = max;
  comm->lane->known = true; // there is no shared memory
}

int rt_comm_rank(const rt_comm *comm)
{
  return comm->rank;
}

int rt_comm_size(const rt_comm *comm)
{
  return comm->size;
}

MPI_Comm rt_comm_mpi(const rt_comm *comm)
{
  return comm->comm;
}

rt_err rt_comm_allreduce_host(const rt_comm *comm, void *data, size_t n,
                              rt_dtype type, rt_op op)
{
  if (comm->size == 1)
    return RT_OK;
  RT_TRY(rt_comm_flush());
  const double since = rt_ranks_enter("all-reduce");
  for (size_t at = 0; at < n; at += comm->max) {
    const size_t part = n - at < comm->max ? n - at : comm->max;
    RT_TRY_MPI(MPI_Allreduce(
        MPI_IN_PLACE, (char *)data + at * rt_dtype_size(type), (int)part,
        rt_comm_mpi_type(type), rt_comm_mpi_op(comm, op, type), comm->comm));
  }
  return rt_comm_left(comm, since, RT_OK);
}

rt_err rt_comm_bcast(const rt_comm *comm, void *data, size_t bytes, int root)
{
  if (comm->size == 1)
    return RT_OK;
  RT_TRY(rt_comm_flush());
  const double since = rt_ranks_enter("broadcast");
  for (size_t at = 0; at < bytes; at += comm->max) {
    const size_t part = bytes - at < comm->max ? bytes - at : comm->max;
    RT_TRY_MPI(
        MPI_Bcast((char *)data + at, (int)part, MPI_BYTE, root, comm->comm));
  }
  return rt_comm_left(comm, since, RT_OK);
}

/** One broadcast per rank that contributes: this allows any length without int
 *  displacements, and suits the few large gathers of Retort.  \a bytes_of
 *  [size], or NULL: \a each. */
static rt_err gather_by_bcast(const rt_comm *comm, const size_t *bytes_of,
                              size_t each, char *out)
{
  for (int r = 0; r < comm->size; r++) {
    const size_t n = bytes_of != NULL ? bytes_of[r] : each;
    if (n > 0)
      RT_TRY(rt_comm_bcast(comm, out, n, r));
    out += n;
  }
  return RT_OK;
}

rt_err rt_comm_allgather(const rt_comm *comm, const void *mine, size_t bytes,
                         void *out)
{
  char *const place = (char *)out + (size_t)comm->rank * bytes;
  if (comm->size == 1 || bytes > comm->max) {
    if (place != mine)
      memcpy(place, mine, bytes);
    return comm->size == 1 ? RT_OK : gather_by_bcast(comm, NULL, bytes, out);
  }
  RT_TRY(rt_comm_flush());
  const double since = rt_ranks_enter("all-gather");
  RT_TRY_MPI(MPI_Allgather(mine == place ? MPI_IN_PLACE : mine, (int)bytes,
                           MPI_BYTE, out, (int)bytes, MPI_BYTE, comm->comm));
  return rt_comm_left(comm, since, RT_OK);
}

rt_err rt_comm_allgatherv(const rt_comm *comm, const void *mine,
                          const size_t *bytes_of, void *out)
{
  size_t total = 0, my_place = 0;
  for (int r = 0; r < comm->size; r++) {
    my_place = r == comm->rank ? total : my_place;
    total += bytes_of[r];
  }
  char *place = (char *)out + my_place;
  if (place != mine)
    memcpy(place, mine, bytes_of[comm->rank]);
  if (comm->size == 1)
    return RT_OK;
  rt_shm *shm = NULL;
  RT_TRY(rt_comm_flush());
  if (total >= SHARED_FROM)
    RT_TRY(rt_comm_shm(comm, &shm));
  if (shm == NULL)
    return gather_by_bcast(comm, bytes_of, 0, out);
  rt_shm_op op = {.data = out, .bytes = total, .bytes_of = bytes_of};
  return rt_comm_shm_run(comm, shm, &op);
}

rt_err rt_comm_barrier(const rt_comm *comm)
{
  RT_TRY(rt_comm_flush());
  const double since = rt_ranks_enter("barrier");
  RT_TRY_MPI(MPI_Barrier(comm->comm));
  return rt_comm_left(comm, since, RT_OK);
}

rt_err rt_comm_agree(const rt_comm *comm, rt_err err, const char *where)
{
  // a rank that has failed waits for nobody
  const rt_err own = err == RT_OK ? rt_comm_flush() : err;
  return rt_agree_ranks(comm->comm, own, RT_SOON, where);
}

rt_err rt_comm_agree_late(const rt_comm *comm, rt_err err, const char *where)
{
  const rt_err own = err == RT_OK ? rt_comm_flush() : err;
  return rt_agree_ranks(comm->comm, own, RT_LATE, where);
}
