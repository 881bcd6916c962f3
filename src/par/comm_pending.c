/** \file comm_pending.c
 *  All-reduces of device buffers, blocking or not, and a barrier for long
 *  waits. */
#include "par/comm_impl.h"

#include "base/clock.h"
#include <sched.h>
#include <stdlib.h>
#include <time.h>

struct rt_pending {
  const rt_comm *comm;   // borrowed
  rt_shm *shm;           // borrowed; NULL: through MPI
  rt_shm_op op;          // with shm
  MPI_Request *requests; // without shm: owned [room], the first n are used
  int n, room;
  rt_pending *next; // in one of the lists below
};

// Operations in progress, and used ones for reuse, so that a step allocates
// nothing.  Deliberately process-wide, like MPI's progress.
static struct {
  rt_pending *open, *spare;
} list;

static void move_all(void)
{
  int done; // the finish returns any error
  for (rt_pending *p = list.open; p != NULL; p = p->next)
    if (p->shm != NULL)
      rt_shm_advance(p->shm);
    else
      MPI_Testall(p->n, p->requests, &done, MPI_STATUSES_IGNORE);
}

void rt_comm_progress(void)
{
  if (list.open == NULL)
    return;
  const double since = rt_now_s();
  move_all();
  rt_ranks_leave(since);
}

/** How an idle rank waits: it yields the core, as there may be more ranks than
 *  cores, then sleeps for a small fraction of the time waited. */
enum { YIELDS = 200, SHORT_SLEEPS = 1000, MPI_EVERY = 16 };

static void idle(const rt_comm *comm, int tries)
{
  int arrived;
  move_all(); // a peer may need another of our sums before it gets here
  if (tries % MPI_EVERY == 0)
    MPI_Iprobe(MPI_ANY_SOURCE, MPI_ANY_TAG, comm->comm, &arrived,
               MPI_STATUS_IGNORE);
  const long nap_ns = tries < SHORT_SLEEPS ? 20000 : 200000;
  if (tries < YIELDS)
    sched_yield();
  else
    nanosleep(&(struct timespec){0, nap_ns}, NULL);
}

static void wait_for(const rt_comm *comm, rt_shm *shm, const rt_shm_op *op)
{
  for (int tries = 0; !rt_shm_done(shm, op); tries++)
    if (rt_shm_advance(shm))
      tries = 0;
    else
      idle(comm, tries);
}

rt_err rt_comm_shm(const rt_comm *comm, rt_shm **out)
{
  rt_comm_lane *lane = comm->lane;
  if (!lane->known)
    RT_TRY(rt_shm_create(comm->comm, &lane->shm));
  lane->known = true;
  *out = lane->shm;
  return RT_OK;
}

rt_err rt_comm_shm_run(const rt_comm *comm, rt_shm *shm, rt_shm_op *op)
{
  const double since =
      rt_ranks_enter(op->bytes_of != NULL ? "all-gather" : "all-reduce");
  rt_shm_start(shm, op);
  wait_for(comm, shm, op);
  return rt_comm_left(comm, since, rt_shm_error(shm));
}

static rt_err check_view(const rt_view *x)
{
  RT_CHECK(x->ld == x->cols || x->rows == 1, RT_ERR_INTERNAL,
           "an all-reduce takes a contiguous view, not ld %lld of %lld columns",
           (long long)x->ld, (long long)x->cols);
  RT_CHECK(x->dtype == RT_F32 || x->dtype == RT_F64, RT_ERR_INTERNAL,
           "device buffers are summed in f32 or f64, not %s",
           rt_dtype_name(x->dtype));
  return RT_OK;
}

rt_err rt_comm_allreduce(const rt_comm *comm, rt_dev *dev, rt_view x, rt_op op)
{
  if (comm->size == 1)
    return RT_OK;
  rt_shm *shm;
  RT_TRY(check_view(&x));
  // explicit wait: kernels that write x must have finished
  RT_TRY(rt_dev_sync(dev));
  RT_TRY(rt_comm_shm(comm, &shm));
  if (shm == NULL)
    return rt_comm_allreduce_host(comm, x.data, rt_view_size(&x), x.dtype, op);
  rt_shm_op sum = {
      .data = x.data, .bytes = rt_view_bytes(&x), .type = x.dtype, .op = op};
  return rt_comm_shm_run(comm, shm, &sum);
}

/** A pending operation with \a n requests, reusing a spare one if possible. */
static rt_err take(int n, rt_pending **out)
{
  rt_pending *p = list.spare;
  if (p != NULL)
    list.spare = p->next;
  else
    p = calloc(1, sizeof *p);
  RT_CHECK(p != NULL, RT_ERR_MEM, "an open all-reduce");
  p->shm = NULL;
  p->n = 0;
  p->next = list.open;
  list.open = *out = p;
  if (n <= p->room)
    return RT_OK;
  const int room = n + 4;
  MPI_Request *more = realloc(p->requests, (size_t)room * sizeof(MPI_Request));
  RT_CHECK(more != NULL, RT_ERR_MEM, "%d requests", room);
  p->requests = more;
  p->room = room;
  return RT_OK;
}

static void give_back(rt_pending *p)
{
  rt_pending **at = &list.open;
  while (*at != p)
    at = &(*at)->next;
  *at = p->next;
  p->next = list.spare;
  list.spare = p;
}

static rt_err start_mpi(const rt_comm *comm, rt_view x, rt_op op, rt_pending *p)
{
  const size_t n = rt_view_size(&x), each = rt_dtype_size(x.dtype);
  for (size_t at = 0; at < n; at += comm->max) {
    const size_t part = n - at < comm->max ? n - at : comm->max;
    RT_TRY_MPI(MPI_Iallreduce(MPI_IN_PLACE, (char *)x.data + at * each,
                              (int)part, rt_comm_mpi_type(x.dtype),
                              rt_comm_mpi_op(op), comm->comm,
                              &p->requests[p->n]));
    p->n++;
  }
  return RT_OK;
}

rt_err rt_comm_allreduce_start(const rt_comm *comm, rt_dev *dev, rt_event ready,
                               rt_view x, rt_op op, rt_pending **out)
{
  *out = NULL;
  if (comm->size == 1)
    return RT_OK;
  rt_shm *shm;
  RT_TRY(check_view(&x));
  RT_TRY(rt_dev_event_wait(dev, ready)); // explicit wait, only for this event
  RT_TRY(rt_comm_shm(comm, &shm));
  const size_t n = rt_view_size(&x);
  const size_t parts = shm != NULL ? 0 : (n + comm->max - 1) / comm->max;
  RT_TRY(take((int)parts, out));
  rt_pending *p = *out;
  p->comm = comm;
  const double since = rt_ranks_enter("all-reduce");
  rt_err err = RT_OK;
  p->shm = shm;
  p->op = (rt_shm_op){
      .data = x.data, .bytes = rt_view_bytes(&x), .type = x.dtype, .op = op};
  if (shm != NULL)
    rt_shm_start(shm, &p->op);
  else
    err = start_mpi(comm, x, op, p);
  rt_ranks_leave(since);
  return err;
}

rt_err rt_comm_finish(rt_pending **pending)
{
  rt_pending *p = *pending;
  *pending = NULL;
  if (p == NULL)
    return RT_OK;
  const double since = rt_ranks_enter("all-reduce");
  int code = MPI_SUCCESS;
  if (p->shm != NULL)
    wait_for(p->comm, p->shm, &p->op);
  else
    code = MPI_Waitall(p->n, p->requests, MPI_STATUSES_IGNORE);
  rt_err err = RT_OK;
  if (p->shm != NULL)
    err = rt_shm_error(p->shm);
  else if (code != MPI_SUCCESS)
    err = rt_mpi_error(code, "MPI_Waitall", __FILE__, __LINE__);
  const rt_comm *const comm = p->comm;
  give_back(p);
  return rt_comm_left(comm, since, err);
}

rt_err rt_comm_meet(const rt_comm *comm, void (*meanwhile)(void *with),
                    void *with)
{
  const double every_s = 1.0;
  const long longest_nap_ns = 10000000; // a barrier of 2^14 ranks has 14 rounds
  MPI_Request all;
  int done = 0;
  if (comm->size == 1)
    return RT_OK;
  const double since = rt_ranks_enter("meeting");
  double said_s = since - every_s;
  long nap_ns = 1000;
  RT_TRY_MPI(MPI_Ibarrier(comm->comm, &all));
  for (;;) {
    move_all();
    RT_TRY_MPI(MPI_Test(&all, &done, MPI_STATUS_IGNORE));
    if (done)
      break;
    if (rt_now_s() - said_s >= every_s) {
      said_s = rt_now_s();
      meanwhile(with);
    }
    nanosleep(&(struct timespec){0, nap_ns}, NULL);
    nap_ns = 2 * nap_ns < longest_nap_ns ? 2 * nap_ns : longest_nap_ns;
  }
  return rt_comm_left(comm, since, RT_OK);
}
