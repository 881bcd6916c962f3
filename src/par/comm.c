/** \file comm.c
 *  Communicators, and collectives on host data. */
#include "par/comm_impl.h"

#include "base/clock.h"
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

enum {
  TEXT = 2048,
  SHARED_FROM = 64 << 10 // bytes of a gather worth its shared memory
};

// Process-wide on purpose: a user asks for the time of all communicators.
static struct {
  double seconds;
  _Atomic uint64_t count; // a watchdog's thread reads it
} spent;

rt_err rt_comm_check_mpi(int code, const char *what)
{
  if (code == MPI_SUCCESS)
    return RT_OK;
  char text[MPI_MAX_ERROR_STRING] = "";
  int n = 0;
  MPI_Error_string(code, text, &n);
  return RT_FAIL(RT_ERR_INTERNAL, "%s failed: %s", what, text);
}

rt_err rt_comm_create(MPI_Comm comm, rt_comm **out)
{
  rt_comm *c = calloc(1, sizeof *c);
  *out = c;
  RT_CHECK(c != NULL, RT_ERR_MEM, "a communicator");
  c->comm = MPI_COMM_NULL;
  c->most = RT_COMM_MOST;
  c->lane = calloc(1, sizeof *c->lane);
  RT_CHECK(c->lane != NULL, RT_ERR_MEM, "a communicator");
  RT_TRY_MPI(MPI_Comm_dup(comm, &c->comm));
  RT_TRY_MPI(MPI_Comm_set_errhandler(c->comm, MPI_ERRORS_RETURN));
  RT_TRY_MPI(MPI_Comm_rank(c->comm, &c->rank));
  RT_TRY_MPI(MPI_Comm_size(c->comm, &c->size));
  return RT_OK;
}

rt_err rt_comm_split(const rt_comm *comm, int color, int key, rt_comm **out)
{
  *out = NULL;
  MPI_Comm part = MPI_COMM_NULL;
  RT_TRY_MPI(MPI_Comm_split(comm->comm, color < 0 ? MPI_UNDEFINED : color, key,
                            &part));
  if (part == MPI_COMM_NULL)
    return RT_OK;
  const rt_err err = rt_comm_create(part, out);
  MPI_Comm_free(&part);
  return err;
}

rt_err rt_comm_split_node(const rt_comm *comm, rt_comm **out)
{
  *out = NULL;
  MPI_Comm part = MPI_COMM_NULL;
  RT_TRY_MPI(MPI_Comm_split_type(comm->comm, MPI_COMM_TYPE_SHARED, comm->rank,
                                 MPI_INFO_NULL, &part));
  const rt_err err = rt_comm_create(part, out);
  MPI_Comm_free(&part);
  return err;
}

void rt_comm_destroy(rt_comm **comm)
{
  rt_comm *c = *comm;
  *comm = NULL;
  if (c == NULL)
    return;
  if (c->lane != NULL)
    rt_shm_destroy(&c->lane->shm);
  if (c->comm != MPI_COMM_NULL)
    MPI_Comm_free(&c->comm);
  free(c->lane);
  free(c);
}

void rt_comm_limit(rt_comm *comm, size_t most, bool shared_memory)
{
  comm->most = most;
  comm->lane->known = !shared_memory;
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

MPI_Datatype rt_comm_mpi_type(rt_dtype type)
{
  switch (type) {
  case RT_F32:
    return MPI_FLOAT;
  case RT_F64:
    return MPI_DOUBLE;
  case RT_I32:
    return MPI_INT32_T;
  case RT_U64:
    return MPI_UINT64_T;
  default:
    RT_ASSERT(false); // no type that MPI can add
    return MPI_DATATYPE_NULL;
  }
}

MPI_Op rt_comm_mpi_op(rt_op op)
{
  return op == RT_SUM ? MPI_SUM : op == RT_MAX ? MPI_MAX : MPI_MIN;
}

double rt_comm_enter(void)
{
  atomic_fetch_add_explicit(&spent.count, 1, memory_order_relaxed);
  return rt_now_s();
}

void rt_comm_leave(double since)
{
  spent.seconds += rt_now_s() - since;
}

double rt_comm_seconds(void)
{
  return spent.seconds;
}

uint64_t rt_comm_count(void)
{
  return atomic_load_explicit(&spent.count, memory_order_relaxed);
}

rt_err rt_comm_allreduce_host(const rt_comm *comm, void *data, size_t n,
                              rt_dtype type, rt_op op)
{
  if (comm->size == 1)
    return RT_OK;
  const double since = rt_comm_enter();
  for (size_t at = 0; at < n; at += comm->most) {
    const size_t part = n - at < comm->most ? n - at : comm->most;
    RT_TRY_MPI(MPI_Allreduce(
        MPI_IN_PLACE, (char *)data + at * rt_dtype_size(type), (int)part,
        rt_comm_mpi_type(type), rt_comm_mpi_op(op), comm->comm));
  }
  rt_comm_leave(since);
  return RT_OK;
}

rt_err rt_comm_bcast(const rt_comm *comm, void *data, size_t bytes, int root)
{
  if (comm->size == 1)
    return RT_OK;
  const double since = rt_comm_enter();
  for (size_t at = 0; at < bytes; at += comm->most) {
    const size_t part = bytes - at < comm->most ? bytes - at : comm->most;
    RT_TRY_MPI(
        MPI_Bcast((char *)data + at, (int)part, MPI_BYTE, root, comm->comm));
  }
  rt_comm_leave(since);
  return RT_OK;
}

rt_err rt_comm_allgather(const rt_comm *comm, const void *mine, size_t bytes,
                         void *out)
{
  if (comm->size == 1) {
    memcpy(out, mine, bytes);
    return RT_OK;
  }
  RT_CHECK(bytes <= comm->most, RT_ERR_INTERNAL,
           "an all-gather of %zu bytes a rank: cut it into pieces", bytes);
  const double since = rt_comm_enter();
  RT_TRY_MPI(MPI_Allgather(mine, (int)bytes, MPI_BYTE, out, (int)bytes,
                           MPI_BYTE, comm->comm));
  rt_comm_leave(since);
  return RT_OK;
}

/** One broadcast for each rank that has something: any length, no int
 *  displacements; right for the few large pieces that retort gathers. */
static rt_err gather_by_bcast(const rt_comm *comm, const size_t *bytes_of,
                              char *out)
{
  for (int r = 0; r < comm->size; r++) {
    if (bytes_of[r] > 0)
      RT_TRY(rt_comm_bcast(comm, out, bytes_of[r], r));
    out += bytes_of[r];
  }
  return RT_OK;
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
  if (total >= SHARED_FROM)
    RT_TRY(rt_comm_shm(comm, &shm));
  if (shm == NULL)
    return gather_by_bcast(comm, bytes_of, out);
  rt_shm_op op = {.data = out, .bytes = total, .bytes_of = bytes_of};
  return rt_comm_shm_run(comm, shm, &op);
}

rt_err rt_comm_barrier(const rt_comm *comm)
{
  const double since = rt_comm_enter();
  RT_TRY_MPI(MPI_Barrier(comm->comm));
  rt_comm_leave(since);
  return RT_OK;
}

rt_err rt_agree(const rt_comm *comm, rt_err err)
{
  if (comm->size == 1)
    return err;
  // the first that failed, and whether nobody succeeded
  int32_t least[2] = {err == RT_OK ? comm->size : comm->rank, err != RT_OK};
  RT_TRY(rt_comm_allreduce_host(comm, least, 2, RT_I32, RT_MIN));
  const int first = least[0];
  if (first == comm->size)
    return RT_OK;
  struct {
    int err;
    char text[TEXT];
  } word = {(int)err, ""};
  // what all ranks say alike is no rank's own
  if (least[1] == 0)
    snprintf(word.text, sizeof word.text, "rank %d: ", first);
  const size_t used = strlen(word.text);
  snprintf(word.text + used, sizeof word.text - used, "%s", rt_err_text());
  RT_TRY(rt_comm_bcast(comm, &word, sizeof word, first));
  if (err != RT_OK && comm->rank == first)
    return err; // with its own trace, and without its number
  return RT_FAIL((rt_err)word.err, "%s", word.text);
}
