/** \file comm.c
 *  Collectives over a group of ranks. */
#include "par/comm.h"

#include "base/clock.h"
#include "base/split.h"
#include <stdlib.h>
#include <string.h>

/** Elements of one MPI call: int counts, and bounded temporary buffers. */
enum { MOST_COUNT = 1 << 28, MOST_PENDING = 64, TEXT = 2048 };

struct rt_comm {
  MPI_Comm comm; // owned duplicate
  int rank, size;
};

struct rt_pending {
  MPI_Request *requests; // owned [n]
  int n;
};

// What progress moves.  Process-wide on purpose: MPI's progress is too.
static struct {
  rt_pending *open[MOST_PENDING];
  int n;
  double seconds;
  uint64_t count;
} state;

static rt_err check_mpi(int code, const char *what)
{
  if (code == MPI_SUCCESS)
    return RT_OK;
  char text[MPI_MAX_ERROR_STRING] = "";
  int n = 0;
  MPI_Error_string(code, text, &n);
  return RT_FAIL(RT_ERR_INTERNAL, "%s failed: %s", what, text);
}

#define TRY_MPI(call) RT_TRY(check_mpi((call), #call))

rt_err rt_comm_create(MPI_Comm comm, rt_comm **out)
{
  rt_comm *c = calloc(1, sizeof *c);
  *out = c;
  RT_CHECK(c != NULL, RT_ERR_MEM, "a communicator");
  c->comm = MPI_COMM_NULL;
  TRY_MPI(MPI_Comm_dup(comm, &c->comm));
  TRY_MPI(MPI_Comm_set_errhandler(c->comm, MPI_ERRORS_RETURN));
  TRY_MPI(MPI_Comm_rank(c->comm, &c->rank));
  TRY_MPI(MPI_Comm_size(c->comm, &c->size));
  return RT_OK;
}

rt_err rt_comm_split(const rt_comm *comm, int color, int key, rt_comm **out)
{
  *out = NULL;
  MPI_Comm part = MPI_COMM_NULL;
  TRY_MPI(MPI_Comm_split(comm->comm, color < 0 ? MPI_UNDEFINED : color, key,
                         &part));
  if (part == MPI_COMM_NULL)
    return RT_OK;
  const rt_err err = rt_comm_create(part, out);
  MPI_Comm_free(&part);
  return err;
}

void rt_comm_destroy(rt_comm **comm)
{
  if (*comm != NULL && (*comm)->comm != MPI_COMM_NULL)
    MPI_Comm_free(&(*comm)->comm);
  free(*comm);
  *comm = NULL;
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

static MPI_Datatype type_of(rt_dtype type)
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

static MPI_Op op_of(rt_op op)
{
  return op == RT_SUM ? MPI_SUM : op == RT_MAX ? MPI_MAX : MPI_MIN;
}

/** Time inside communication, for the end table. */
static double enter(void)
{
  state.count++;
  return rt_now_s();
}

static void leave(double since)
{
  state.seconds += rt_now_s() - since;
}

rt_err rt_comm_allreduce_host(const rt_comm *comm, void *data, size_t n,
                              rt_dtype type, rt_op op)
{
  if (comm->size == 1)
    return RT_OK;
  const double since = enter();
  for (size_t at = 0; at < n; at += MOST_COUNT) {
    const size_t part = n - at < MOST_COUNT ? n - at : MOST_COUNT;
    TRY_MPI(MPI_Allreduce(MPI_IN_PLACE, (char *)data + at * rt_dtype_size(type),
                          (int)part, type_of(type), op_of(op), comm->comm));
  }
  leave(since);
  return RT_OK;
}

rt_err rt_comm_bcast(const rt_comm *comm, void *data, size_t bytes, int root)
{
  if (comm->size == 1)
    return RT_OK;
  const double since = enter();
  for (size_t at = 0; at < bytes; at += MOST_COUNT) {
    const size_t part = bytes - at < MOST_COUNT ? bytes - at : MOST_COUNT;
    TRY_MPI(
        MPI_Bcast((char *)data + at, (int)part, MPI_BYTE, root, comm->comm));
  }
  leave(since);
  return RT_OK;
}

rt_err rt_comm_allgather(const rt_comm *comm, const void *mine, size_t bytes,
                         void *out)
{
  if (comm->size == 1) {
    memcpy(out, mine, bytes);
    return RT_OK;
  }
  RT_CHECK(bytes <= MOST_COUNT, RT_ERR_INTERNAL,
           "an all-gather of %zu bytes a rank: cut it into pieces", bytes);
  const double since = enter();
  TRY_MPI(MPI_Allgather(mine, (int)bytes, MPI_BYTE, out, (int)bytes, MPI_BYTE,
                        comm->comm));
  leave(since);
  return RT_OK;
}

/** One broadcast for each rank that has something: any length, no int
 *  displacements; right for the few large pieces that retort gathers. */
rt_err rt_comm_allgatherv(const rt_comm *comm, const void *mine,
                          const size_t *bytes_of, void *out)
{
  size_t at = 0;
  for (int r = 0; r < comm->size; r++) {
    char *to = (char *)out + at;
    if (r == comm->rank && to != mine)
      memcpy(to, mine, bytes_of[r]);
    if (bytes_of[r] > 0)
      RT_TRY(rt_comm_bcast(comm, to, bytes_of[r], r));
    at += bytes_of[r];
  }
  return RT_OK;
}

rt_err rt_comm_barrier(const rt_comm *comm)
{
  const double since = enter();
  TRY_MPI(MPI_Barrier(comm->comm));
  leave(since);
  return RT_OK;
}

rt_err rt_agree(const rt_comm *comm, rt_err err)
{
  if (comm->size == 1)
    return err;
  int first = err == RT_OK ? comm->size : comm->rank;
  RT_TRY(rt_comm_allreduce_host(comm, &first, 1, RT_I32, RT_MIN));
  if (first == comm->size)
    return RT_OK;
  struct {
    int err;
    char text[TEXT];
  } word = {(int)err, ""};
  snprintf(word.text, sizeof word.text, "%s", rt_err_text());
  RT_TRY(rt_comm_bcast(comm, &word, sizeof word, first));
  if (err != RT_OK && comm->rank == first)
    return err; // with its own trace
  return RT_FAIL((rt_err)word.err, "%s", word.text);
}

rt_err rt_comm_allreduce(const rt_comm *comm, rt_dev *dev, rt_view x, rt_op op)
{
  if (comm->size == 1)
    return RT_OK;
  RT_CHECK(x.ld == x.cols || x.rows == 1, RT_ERR_INTERNAL,
           "an all-reduce takes a contiguous view, not ld %lld of %lld columns",
           (long long)x.ld, (long long)x.cols);
  RT_TRY(rt_dev_sync(dev));
  return rt_comm_allreduce_host(comm, x.data, rt_view_size(&x), x.dtype, op);
}

rt_err rt_comm_allreduce_start(const rt_comm *comm, rt_dev *dev, rt_event ready,
                               rt_view x, rt_op op, rt_pending **out)
{
  rt_pending *p = calloc(1, sizeof *p);
  *out = p;
  RT_CHECK(p != NULL, RT_ERR_MEM, "an open all-reduce");
  if (comm->size == 1)
    return RT_OK;
  RT_CHECK(state.n < MOST_PENDING, RT_ERR_INTERNAL,
           "more than %d open all-reduces", (int)MOST_PENDING);
  const size_t n = rt_view_size(&x);
  const int parts = (int)((n + MOST_COUNT - 1) / MOST_COUNT);
  p->requests = calloc((size_t)parts + 1, sizeof(MPI_Request));
  RT_CHECK(p->requests != NULL, RT_ERR_MEM, "an open all-reduce");
  RT_TRY(rt_dev_event_wait(dev, ready));
  const double since = enter();
  for (; p->n < parts; p->n++) {
    const size_t at = (size_t)p->n * MOST_COUNT;
    const size_t part = n - at < MOST_COUNT ? n - at : MOST_COUNT;
    TRY_MPI(MPI_Iallreduce(
        MPI_IN_PLACE, (char *)x.data + at * rt_dtype_size(x.dtype), (int)part,
        type_of(x.dtype), op_of(op), comm->comm, &p->requests[p->n]));
  }
  state.open[state.n++] = p;
  leave(since);
  return RT_OK;
}

static void forget(const rt_pending *p)
{
  for (int i = 0; i < state.n; i++)
    if (state.open[i] == p)
      state.open[i--] = state.open[--state.n];
}

rt_err rt_comm_finish(rt_pending **pending)
{
  rt_pending *p = *pending;
  *pending = NULL;
  if (p == NULL)
    return RT_OK;
  forget(p);
  const double since = enter();
  const int code = p->n > 0
                       ? MPI_Waitall(p->n, p->requests, MPI_STATUSES_IGNORE)
                       : MPI_SUCCESS;
  leave(since);
  free(p->requests);
  free(p);
  return check_mpi(code, "MPI_Waitall");
}

void rt_comm_progress(void)
{
  if (state.n == 0)
    return;
  const double since = rt_now_s();
  int done; // the finish sees any error
  MPI_Testall(state.open[0]->n, state.open[0]->requests, &done,
              MPI_STATUSES_IGNORE);
  leave(since);
}

double rt_comm_seconds(void)
{
  return state.seconds;
}

uint64_t rt_comm_count(void)
{
  return state.count;
}
