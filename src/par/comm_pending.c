/** \file comm_pending.c
 *  Collectives of device buffers, blocking or not, and a barrier for long
 *  waits. */
#include "par/comm_impl.h"

#include "base/clock.h"
#include <sched.h>
#include <stdlib.h>
#include <time.h>

typedef enum kind { ALL_REDUCE, SCATTER, GATHER } kind;

struct rt_pending {
  kind kind;
  const rt_comm *comm;   // borrowed
  rt_dev *dev;           // borrowed
  rt_view x;             // of an all-reduce
  rt_shm *shm;           // borrowed; NULL: through MPI
  rt_shm_op op;          // with shm
  rt_exchange exchange;  // of parts; its shares also with shm
  MPI_Request *requests; // of an all-reduce without shm: owned [room], the
                         // first n are used
  int n, room;
  char *copy; // owned [copy_bytes]: what the host cannot access in place
  size_t copy_bytes;
  rt_pending *next; // in one of the lists below
};

// Operations in progress, and used ones for reuse, so that a step allocates
// nothing.  Deliberately process-wide, like MPI's progress.
static struct {
  rt_pending *open, *spare;
} list;

/** Let an operation make progress; false if none was possible, or not known. */
static bool move(rt_pending *p)
{
  int done; // the finish returns any error
  if (p->shm != NULL)
    return rt_shm_advance(p->shm);
  if (p->kind != ALL_REDUCE)
    return rt_exchange_advance(p->comm->lane->exchanges);
  MPI_Testall(p->n, p->requests, &done, MPI_STATUSES_IGNORE);
  return false;
}

static void move_all(void)
{
  for (rt_pending *p = list.open; p != NULL; p = p->next)
    move(p);
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

static void wait_for_exchange(rt_pending *p)
{
  rt_exchanges *q = p->comm->lane->exchanges;
  for (int tries = 0; !rt_exchange_done(q, &p->exchange); tries++)
    if (rt_exchange_advance(q))
      tries = 0;
    else
      idle(p->comm, tries);
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

static rt_err check_view(const rt_view *x, rt_op op)
{
  RT_CHECK(x->ld == x->cols || x->rows <= 1, RT_ERR_INTERNAL,
           "a collective takes a contiguous view, not ld %lld of %lld columns",
           (long long)x->ld, (long long)x->cols);
  RT_CHECK(x->dtype == RT_F32 || x->dtype == RT_F64 ||
               (x->dtype == RT_BF16 && op == RT_SUM),
           RT_ERR_INTERNAL,
           "device buffers are reduced in f32, f64 or, for sums, bf16, not %s",
           rt_dtype_name(x->dtype));
  return RT_OK;
}

/** A pending operation, reusing a spare one if possible. */
static rt_err take(kind what, const rt_comm *comm, rt_dev *dev,
                   rt_pending **out)
{
  rt_pending *p = list.spare;
  if (p != NULL)
    list.spare = p->next;
  else
    p = calloc(1, sizeof *p);
  RT_CHECK(p != NULL, RT_ERR_MEM, "an open collective");
  p->kind = what;
  p->comm = comm;
  p->dev = dev;
  p->n = 0;
  p->next = list.open;
  list.open = *out = p;
  return rt_comm_shm(comm, &p->shm);
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

/** Memory of the host for what it cannot access in place. */
static rt_err make_copy(rt_pending *p, size_t bytes)
{
  if (bytes <= p->copy_bytes)
    return RT_OK;
  free(p->copy);
  p->copy_bytes = 0;
  p->copy = malloc(bytes);
  RT_CHECK(p->copy != NULL, RT_ERR_MEM, "%zu bytes to exchange", bytes);
  p->copy_bytes = bytes;
  return RT_OK;
}

/** Room for \a n requests. */
static rt_err make_room(rt_pending *p, int n)
{
  const int room = n + 4;
  if (n <= p->room)
    return RT_OK;
  MPI_Request *more = realloc(p->requests, (size_t)room * sizeof(MPI_Request));
  RT_CHECK(more != NULL, RT_ERR_MEM, "%d requests", room);
  p->requests = more;
  p->room = room;
  return RT_OK;
}

static rt_err start_mpi(const rt_comm *comm, char *data, rt_op op,
                        rt_pending *p)
{
  const size_t n = rt_view_size(&p->x), each = rt_dtype_size(p->x.dtype);
  RT_TRY(make_room(p, (int)((n + comm->max - 1) / comm->max)));
  for (size_t at = 0; at < n; at += comm->max) {
    const size_t part = n - at < comm->max ? n - at : comm->max;
    RT_TRY_MPI(MPI_Iallreduce(
        MPI_IN_PLACE, data + at * each, (int)part, rt_comm_mpi_type(p->x.dtype),
        rt_comm_mpi_op(comm, op, p->x.dtype), comm->comm, &p->requests[p->n]));
    p->n++;
  }
  return RT_OK;
}

/** Where the host has x: in place, or in a copy of it. */
static rt_err reach(rt_pending *p, rt_event ready, char **data)
{
  *data = rt_dev_host(p->dev, p->x);
  if (*data != NULL)
    return rt_dev_event_wait(p->dev, ready); // explicit, only for this event
  RT_TRY(make_copy(p, rt_view_bytes(&p->x) + 1));
  *data = p->copy;
  return rt_dev_get_after(p->dev, ready, *data, p->x);
}

static rt_err deliver(rt_pending *p);

/** Take an all-reduce whose data is ready, at p->op.data. */
static rt_err ready_sum(const rt_comm *comm, rt_dev *dev, rt_event ready,
                        rt_view x, rt_pending **out)
{
  RT_TRY(take(ALL_REDUCE, comm, dev, out));
  rt_pending *p = *out;
  p->x = x;
  p->op = (rt_shm_op){.bytes = rt_view_bytes(&x), .type = x.dtype};
  return reach(p, ready, &p->op.data);
}

rt_err rt_comm_allreduce_start(const rt_comm *comm, rt_dev *dev, rt_event ready,
                               rt_view x, rt_op op, rt_pending **out)
{
  *out = NULL;
  if (comm->size == 1)
    return RT_OK;
  RT_TRY(check_view(&x, op));
  RT_TRY(ready_sum(comm, dev, ready, x, out));
  rt_pending *p = *out;
  const double since = rt_ranks_enter("all-reduce");
  rt_err err = RT_OK;
  p->op.op = op;
  if (p->shm != NULL)
    rt_shm_start(p->shm, &p->op);
  else
    err = start_mpi(comm, p->op.data, op, p);
  rt_ranks_leave(since);
  return err;
}

rt_err rt_comm_allreduce(const rt_comm *comm, rt_dev *dev, rt_view x, rt_op op)
{
  rt_pending *p = NULL;
  if (comm->size == 1)
    return RT_OK;
  RT_TRY(check_view(&x, op));
  // explicit wait: kernels that write x must have finished
  RT_TRY(ready_sum(comm, dev, rt_dev_event(dev), x, &p));
  p->op.op = op;
  rt_err err =
      p->shm != NULL
          ? rt_comm_shm_run(comm, p->shm, &p->op)
          : rt_comm_allreduce_host(comm, p->op.data, rt_view_size(&x), x.dtype,
                                   op); // faster than a non-blocking one
  if (err == RT_OK)
    err = deliver(p);
  give_back(p);
  return err;
}

/** Check the views; their bytes together. */
static rt_err check_parts(const rt_comm *comm, const rt_parts *parts, int n,
                          size_t *bytes)
{
  *bytes = 0;
  for (int i = 0; i < n; i++) {
    const rt_view *v = parts[i].view;
    RT_TRY(check_view(v, RT_SUM));
    RT_CHECK(v->dtype == parts[0].view->dtype &&
                 parts[i].each * comm->size >= v->rows && parts[i].each > 0,
             RT_ERR_INTERNAL, "parts of %lld rows for %d ranks of %lld, %s",
             (long long)parts[i].each, comm->size, (long long)v->rows,
             rt_dtype_name(v->dtype));
    *bytes += rt_view_bytes(v);
  }
  return RT_OK;
}

/** Rows of part \a i, in the device's memory and in the copy. */
typedef struct span {
  rt_view on_dev;
  char *copy;
} span;

/** Rows [row0, row0 + n) of part \a i; \a at: where the part is in the copy. */
static span span_of(const rt_pending *p, int i, size_t at, int64_t row0,
                    int64_t n)
{
  const rt_view v = *p->exchange.shares.parts[i].view;
  const size_t row = (size_t)v.cols * rt_dtype_size(v.dtype);
  return (span){rt_view_rows(v, row0, n), p->copy + at + (size_t)row0 * row};
}

typedef enum whose { ALL_ROWS, OWN_ROWS } whose;
typedef enum way { FROM_DEVICE, TO_DEVICE } way;

/** Copy rows from the device to the copy, once \a ready has completed, or back.
 */
static rt_err pass(rt_pending *p, way to, whose rows, rt_event ready)
{
  const rt_shares *s = &p->exchange.shares;
  size_t at = 0;
  for (int i = 0; s->copy != NULL && i < s->n; i++) {
    int64_t row0 = 0, n = s->parts[i].view->rows;
    if (rows == OWN_ROWS)
      rt_parts_rows(&s->parts[i], s->size, p->comm->rank, &row0, &n);
    const span x = span_of(p, i, at, row0, n);
    at += rt_view_bytes(s->parts[i].view);
    if (n == 0)
      continue;
    if (to == TO_DEVICE)
      RT_TRY(rt_dev_put(p->dev, x.on_dev, x.copy));
    else
      RT_TRY(rt_dev_get_after(p->dev, ready, x.copy, x.on_dev));
  }
  return RT_OK;
}

/** Take an exchange of \a parts; none in a group of one rank. */
static rt_err take_parts(kind what, const rt_comm *comm, rt_dev *dev,
                         const rt_parts *parts, int n, rt_pending **out)
{
  size_t bytes;
  *out = NULL;
  if (comm->size == 1 || n == 0)
    return RT_OK;
  RT_TRY(check_parts(comm, parts, n, &bytes));
  RT_TRY(take(what, comm, dev, out));
  rt_pending *p = *out;
  const bool in_place = rt_dev_on_host(dev);
  if (!in_place)
    RT_TRY(make_copy(p, bytes + 1));
  p->exchange = (rt_exchange){
      .shares = {parts, n, comm->size, dev, in_place ? NULL : p->copy},
      .op = what == SCATTER ? RT_SHARE_SCATTER : RT_SHARE_GATHER,
      .type = parts[0].view->dtype};
  p->op = (rt_shm_op){.bytes = bytes,
                      .type = parts[0].view->dtype,
                      .op = RT_SUM,
                      .shares = &p->exchange.shares,
                      .share_op = p->exchange.op};
  return RT_OK;
}

static rt_err start_parts(rt_pending *p, rt_event ready)
{
  if (p == NULL)
    return RT_OK;
  rt_comm_lane *const lane = p->comm->lane;
  RT_TRY(rt_dev_event_wait(p->dev, ready)); // explicit, only for this event
  RT_TRY(pass(p, FROM_DEVICE, p->kind == SCATTER ? ALL_ROWS : OWN_ROWS, ready));
  if (p->shm == NULL && lane->exchanges == NULL)
    RT_TRY(rt_exchanges_create(p->comm->comm, p->comm->max, &lane->exchanges));
  const double since = rt_ranks_enter("exchange of rows");
  if (p->shm != NULL)
    rt_shm_start(p->shm, &p->op);
  else
    rt_exchange_start(lane->exchanges, &p->exchange);
  rt_ranks_leave(since);
  return RT_OK;
}

rt_err rt_comm_scatter_start(const rt_comm *comm, rt_dev *dev, rt_event ready,
                             const rt_parts *parts, int n, rt_pending **out)
{
  RT_CHECK(n == 0 || parts[0].view->dtype != RT_BF16, RT_ERR_INTERNAL,
           "parts are summed in f32 or f64, not bf16");
  RT_TRY(take_parts(SCATTER, comm, dev, parts, n, out));
  return start_parts(*out, ready);
}

rt_err rt_comm_gather_start(const rt_comm *comm, rt_dev *dev, rt_event ready,
                            const rt_parts *parts, int n, rt_pending **out)
{
  RT_TRY(take_parts(GATHER, comm, dev, parts, n, out));
  return start_parts(*out, ready);
}

uint64_t rt_comm_sent(const rt_comm *comm)
{
  const rt_comm_lane *lane = comm->lane;
  return (lane->shm != NULL ? rt_shm_sent(lane->shm) : 0) +
         (lane->exchanges != NULL ? rt_exchange_sent(lane->exchanges) : 0);
}

static rt_err wait_through_mpi(rt_pending *p)
{
  if (p->kind == ALL_REDUCE)
    RT_TRY_MPI(MPI_Waitall(p->n, p->requests, MPI_STATUSES_IGNORE));
  else
    wait_for_exchange(p);
  return p->kind == ALL_REDUCE ? RT_OK
                               : rt_exchange_error(p->comm->lane->exchanges);
}

/** Wait until the result is where the host has it. */
static rt_err wait_on_host(rt_pending *p)
{
  if (p->shm == NULL)
    return wait_through_mpi(p);
  wait_for(p->comm, p->shm, &p->op);
  return rt_shm_error(p->shm);
}

/** Copy the result to the device, if the host cannot access it. */
static rt_err deliver(rt_pending *p)
{
  if (p->kind != ALL_REDUCE)
    return pass(p, TO_DEVICE, p->kind == GATHER ? ALL_ROWS : OWN_ROWS,
                (rt_event){0});
  return rt_dev_host(p->dev, p->x) != NULL ? RT_OK
                                           : rt_dev_put(p->dev, p->x, p->copy);
}

rt_err rt_comm_finish(rt_pending **pending)
{
  rt_pending *p = *pending;
  *pending = NULL;
  if (p == NULL)
    return RT_OK;
  const double since =
      rt_ranks_enter(p->kind == ALL_REDUCE ? "all-reduce" : "exchange of rows");
  rt_err err = wait_on_host(p);
  if (err == RT_OK)
    err = deliver(p);
  const rt_comm *const comm = p->comm;
  give_back(p);
  return rt_comm_left(comm, since, err);
}

void rt_comm_give_up(rt_pending **pending)
{
  rt_pending *p = *pending;
  *pending = NULL;
  if (p == NULL)
    return;
  if (p->shm != NULL)
    rt_shm_give_up(p->shm);
  else if (p->kind != ALL_REDUCE)
    rt_exchanges_give_up(p->comm->lane->exchanges);
  give_back(p);
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
