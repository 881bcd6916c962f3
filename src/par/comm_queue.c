/** \file comm_queue.c
 *  Collectives of device buffers as work in a device's queue, how ranks wait
 *  for them, and a barrier for long waits. */
#include "par/comm_queue.h"

#include "base/clock.h"
#include <sched.h>
#include <stdlib.h>
#include <time.h>

// Operations in use, and others for reuse, so that a step allocates nothing.
// Deliberately process-wide, like MPI's progress.
static struct {
  rt_pending *used, *spare;
  int depth; // of calls from the queue of a device
} list;

/** Let an exchange make progress; false if none was possible. */
static bool move(rt_pending *p)
{
  return p->shm != NULL ? rt_shm_advance(p->shm)
                        : rt_exchange_advance(p->comm->lane->exchanges);
}

static bool any_open(void)
{
  const rt_pending *p = list.used;
  while (p != NULL && !p->open)
    p = p->next;
  return p != NULL;
}

static void move_all(void)
{
  for (rt_pending *p = list.used; p != NULL; p = p->next)
    if (p->open)
      move(p);
}

void rt_comm_progress(void)
{
  if (!any_open())
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

void rt_comm_wait(const rt_comm *comm, rt_shm *shm, const rt_shm_op *op)
{
  for (int tries = 0; !rt_shm_done(shm, op); tries++)
    if (rt_shm_advance(shm))
      tries = 0;
    else
      idle(comm, tries);
}

void rt_comm_wait_exchange(const rt_pending *p)
{
  rt_exchanges *q = p->comm->lane->exchanges;
  for (int tries = 0; !rt_exchange_done(q, &p->exchange); tries++)
    if (rt_exchange_advance(q))
      tries = 0;
    else
      idle(p->comm, tries);
}

rt_err rt_comm_flush(void)
{
  rt_pending *p = list.depth == 0 ? list.used : NULL;
  while (p != NULL) {
    const bool waits = p->n_queued > 0 && !p->given_up;
    if (waits && !rt_dev_push(p->dev, rt_dev_event(p->dev, RT_QUEUE_COMM)))
      return rt_dev_error(p->dev);
    p = waits ? list.used : p->next; // the list is another one now
  }
  return RT_OK;
}

rt_err rt_comm_shm(const rt_comm *comm, rt_shm **out)
{
  rt_comm_lane *lane = comm->lane;
  if (!lane->known)
    RT_TRY(rt_comm_flush());
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
  rt_comm_wait(comm, shm, op);
  return rt_comm_left(comm, since, rt_shm_error(shm));
}

/** The copy of a spare one belongs to its device. */
rt_err rt_pending_take(rt_kind what, const rt_comm *comm, rt_dev *dev,
                       rt_pending **out)
{
  rt_pending **at = &list.spare;
  while (*at != NULL && (*at)->copy != NULL && (*at)->dev != dev)
    at = &(*at)->next;
  rt_pending *p = *at;
  if (p != NULL)
    *at = p->next;
  else
    p = calloc(1, sizeof *p);
  RT_CHECK(p != NULL, RT_ERR_MEM, "an open collective");
  p->kind = what;
  p->comm = comm;
  p->dev = dev;
  p->shm = NULL;
  p->n_queued = 0;
  p->open = p->given_up = false;
  p->next = list.used;
  list.used = *out = p;
  return RT_OK;
}

void rt_pending_give_back(rt_pending *p)
{
  rt_pending **at = &list.used;
  while (*at != p)
    at = &(*at)->next;
  *at = p->next;
  p->next = list.spare;
  list.spare = p;
}

void rt_comm_forget(rt_dev *dev)
{
  rt_dev_drop(dev);
  for (rt_pending *p = list.spare; p != NULL; p = p->next) {
    if (p->dev != dev)
      continue;
    rt_dev_unpin(dev, p->copy);
    p->copy = NULL;
    p->copy_bytes = 0;
  }
}

rt_err rt_pending_copy(rt_pending *p, size_t bytes)
{
  if (bytes <= p->copy_bytes)
    return RT_OK;
  rt_dev_unpin(p->dev, p->copy);
  p->copy_bytes = 0;
  p->copy = rt_dev_pin(p->dev, bytes);
  RT_CHECK(p->copy != NULL, RT_ERR_MEM, "%zu bytes to exchange", bytes);
  p->copy_bytes = bytes;
  return RT_OK;
}

/** A stage is over.  The last one gives the operation back. */
static void leave(rt_pending *p)
{
  if (--p->n_queued == 0 && p->given_up)
    rt_pending_give_back(p);
}

rt_err rt_pending_run(rt_pending *p, rt_turn turn, rt_stage *fn)
{
  rt_err err = RT_OK;
  list.depth++;
  if (turn == RT_TURN && !p->given_up)
    err = fn(p);
  list.depth--;
  leave(p);
  return err;
}

void rt_pending_append(rt_pending *p, rt_dev_fn *fn)
{
  p->n_queued++;
  rt_dev_call(p->dev, RT_QUEUE_COMM, fn, p);
}

/** Stages before this one may be there if there was no room for it. */
static rt_err give_back_queued(void *with, rt_turn turn)
{
  rt_pending *p = with;
  (void)turn;
  p->open = false;
  p->given_up = true;
  leave(p);
  return RT_OK;
}

void rt_pending_begin(const rt_pending *p, rt_event ready)
{
  rt_dev_wait(p->dev, RT_QUEUE_COMM, ready);
}

rt_err rt_pending_end(rt_pending *p)
{
  rt_dev *const dev = p->dev;
  rt_pending_append(p, give_back_queued);
  rt_dev_wait(dev, RT_QUEUE_COMPUTE, rt_dev_event(dev, RT_QUEUE_COMM));
  return rt_dev_error(dev);
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
  RT_TRY(rt_comm_flush());
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
