/** \file comm_pending.c
 *  Collectives of device buffers. */
#include "par/comm_queue.h"

#include <stdlib.h>

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

static rt_err run_sum(rt_pending *p)
{
  return p->shm != NULL
             ? rt_comm_shm_run(p->comm, p->shm, &p->op)
             : rt_comm_allreduce_host(p->comm, p->op.data, rt_view_size(&p->x),
                                      p->x.dtype,
                                      p->op.op); // faster than a non-blocking
}

static rt_err run_sum_queued(void *with, rt_turn turn)
{
  return rt_pending_run(with, turn, run_sum);
}

/** The numbers of \a x will be where the host has them, at p->op.data. */
static rt_err place_view(rt_pending *p, rt_view x)
{
  p->x = x;
  p->op = (rt_shm_op){.bytes = rt_view_bytes(&x), .type = x.dtype};
  p->op.data = rt_dev_host(p->dev, x);
  if (rt_dev_on_host(p->dev))
    return RT_OK;
  RT_TRY(rt_pending_copy(p, p->op.bytes + 1));
  p->op.data = p->copy;
  return RT_OK;
}

/** An operation of which nothing is queued yet: give it back after an error. */
static rt_err taken(rt_err err, rt_pending **p)
{
  if (err == RT_OK)
    return RT_OK;
  rt_pending_give_back(*p);
  *p = NULL;
  return err;
}

/** Append the way back of a copy. */
static void deliver_view(const rt_pending *p)
{
  if (!rt_dev_on_host(p->dev))
    rt_dev_put_start(p->dev, RT_QUEUE_COMM, p->x, p->copy);
}

rt_err rt_comm_allreduce(const rt_comm *comm, rt_dev *dev, rt_view x, rt_op op)
{
  rt_pending *p = NULL;
  if (comm->size == 1)
    return RT_OK;
  RT_TRY(check_view(&x, op));
  RT_TRY(rt_pending_take(RT_ALL_REDUCE, comm, dev, &p));
  rt_err err = place_view(p, x);
  p->op.op = op;
  if (err == RT_OK)
    err = rt_comm_shm(comm, &p->shm);
  RT_TRY(taken(err, &p));
  // explicit wait: kernels that write x come first
  rt_pending_begin(p, rt_dev_event(dev, RT_QUEUE_COMPUTE));
  if (!rt_dev_on_host(dev))
    rt_dev_get_start(dev, RT_QUEUE_COMM, p->copy, x);
  rt_pending_append(p, run_sum_queued);
  deliver_view(p);
  return rt_pending_end(p);
}

/** The rows of rank \a rank, of as many for each. */
static rt_view rows_of(const rt_pending *p, int rank)
{
  const int64_t each = p->x.rows / p->comm->size;
  return rt_view_rows(p->x, rank * each, each);
}

static rt_err run_rows(rt_pending *p)
{
  const size_t each = p->op.bytes / (size_t)p->comm->size;
  return rt_comm_allgather(p->comm, p->op.data + (size_t)p->comm->rank * each,
                           each, p->op.data);
}

static rt_err run_rows_queued(void *with, rt_turn turn)
{
  return rt_pending_run(with, turn, run_rows);
}

rt_err rt_comm_gather(const rt_comm *comm, rt_dev *dev, rt_view x)
{
  rt_pending *p = NULL;
  if (comm->size == 1)
    return RT_OK;
  RT_CHECK(x.rows % comm->size == 0 && (x.ld == x.cols || x.rows <= 1),
           RT_ERR_INTERNAL,
           "a gather takes a contiguous view of as many rows for each of %d "
           "ranks, not %lld",
           comm->size, (long long)x.rows);
  RT_TRY(rt_pending_take(RT_ROWS, comm, dev, &p));
  RT_TRY(taken(place_view(p, x), &p));
  const rt_view own = rows_of(p, comm->rank);
  rt_pending_begin(p, rt_dev_event(dev, RT_QUEUE_COMPUTE));
  if (!rt_dev_on_host(dev))
    rt_dev_get_start(dev, RT_QUEUE_COMM,
                     p->copy + (size_t)comm->rank * rt_view_bytes(&own), own);
  rt_pending_append(p, run_rows_queued);
  deliver_view(p);
  return rt_pending_end(p);
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

/** Append copies of rows from the device to the copy, or back. */
static void pass(const rt_pending *p, way to, whose rows)
{
  const rt_shares *s = &p->exchange.shares;
  size_t at = 0;
  for (int i = 0; s->copy != NULL && i < s->n; i++) {
    int64_t row0 = 0, n = s->parts[i].view->rows;
    if (rows == OWN_ROWS)
      rt_parts_rows(&s->parts[i], s->size, p->comm->rank, &row0, &n);
    const span x = span_of(p, i, at, row0, n);
    at += rt_view_bytes(s->parts[i].view);
    if (n > 0 && to == TO_DEVICE)
      rt_dev_put_start(p->dev, RT_QUEUE_COMM, x.on_dev, x.copy);
    else if (n > 0)
      rt_dev_get_start(p->dev, RT_QUEUE_COMM, x.copy, x.on_dev);
  }
}

/** What the exchange of \a bytes goes through, and its copy. */
static rt_err place_parts(rt_pending *p, size_t bytes)
{
  rt_comm_lane *const lane = p->comm->lane;
  RT_TRY(rt_comm_shm(p->comm, &p->shm));
  if (p->shm == NULL && lane->exchanges == NULL)
    RT_TRY(rt_exchanges_create(p->comm->comm, p->comm->max, &lane->exchanges));
  return rt_dev_on_host(p->dev) ? RT_OK : rt_pending_copy(p, bytes + 1);
}

/** Take an exchange of \a parts; none in a group of one rank. */
static rt_err take_parts(rt_kind what, const rt_comm *comm, rt_dev *dev,
                         const rt_parts *parts, int n, rt_pending **out)
{
  size_t bytes;
  *out = NULL;
  if (comm->size == 1 || n == 0)
    return RT_OK;
  RT_TRY(check_parts(comm, parts, n, &bytes));
  RT_TRY(rt_pending_take(what, comm, dev, out));
  RT_TRY(taken(place_parts(*out, bytes), out));
  rt_pending *const p = *out;
  const bool in_place = rt_dev_on_host(dev);
  p->exchange = (rt_exchange){
      .shares = {parts, n, comm->size, dev, in_place ? NULL : p->copy},
      .op = what == RT_SCATTER ? RT_SHARE_SCATTER : RT_SHARE_GATHER,
      .type = parts[0].view->dtype};
  p->op = (rt_shm_op){.bytes = bytes,
                      .type = parts[0].view->dtype,
                      .op = RT_SUM,
                      .shares = &p->exchange.shares,
                      .share_op = p->exchange.op};
  return RT_OK;
}

static rt_err start_exchange(rt_pending *p)
{
  const double since = rt_ranks_enter("exchange of rows");
  p->open = true;
  if (p->shm != NULL)
    rt_shm_start(p->shm, &p->op);
  else
    rt_exchange_start(p->comm->lane->exchanges, &p->exchange);
  rt_ranks_leave(since);
  return RT_OK;
}

static rt_err start_exchange_queued(void *with, rt_turn turn)
{
  return rt_pending_run(with, turn, start_exchange);
}

static rt_err start_parts(rt_pending *p, rt_event ready)
{
  if (p == NULL)
    return RT_OK;
  rt_pending_begin(p, ready);
  pass(p, FROM_DEVICE, p->kind == RT_SCATTER ? ALL_ROWS : OWN_ROWS);
  rt_pending_append(p, start_exchange_queued);
  return rt_dev_error(p->dev);
}

rt_err rt_comm_scatter_start(const rt_comm *comm, rt_dev *dev, rt_event ready,
                             const rt_parts *parts, int n, rt_pending **out)
{
  RT_CHECK(n == 0 || parts[0].view->dtype != RT_BF16, RT_ERR_INTERNAL,
           "parts are summed in f32 or f64, not bf16");
  RT_TRY(take_parts(RT_SCATTER, comm, dev, parts, n, out));
  return start_parts(*out, ready);
}

rt_err rt_comm_gather_start(const rt_comm *comm, rt_dev *dev, rt_event ready,
                            const rt_parts *parts, int n, rt_pending **out)
{
  RT_TRY(take_parts(RT_GATHER, comm, dev, parts, n, out));
  return start_parts(*out, ready);
}

uint64_t rt_comm_sent(const rt_comm *comm)
{
  const rt_comm_lane *lane = comm->lane;
  return (lane->shm != NULL ? rt_shm_sent(lane->shm) : 0) +
         (lane->exchanges != NULL ? rt_exchange_sent(lane->exchanges) : 0);
}

/** Wait until the result is where the host has it. */
static rt_err wait_on_host(rt_pending *p)
{
  if (p->shm != NULL) {
    rt_comm_wait(p->comm, p->shm, &p->op);
    return rt_shm_error(p->shm);
  }
  rt_comm_wait_exchange(p);
  return rt_exchange_error(p->comm->lane->exchanges);
}

static rt_err wait_for_end(rt_pending *p)
{
  const double since = rt_ranks_enter("exchange of rows");
  const rt_err err = wait_on_host(p);
  p->open = false;
  return rt_comm_left(p->comm, since, err);
}

static rt_err wait_queued(void *with, rt_turn turn)
{
  return rt_pending_run(with, turn, wait_for_end);
}

rt_err rt_comm_join(rt_pending **pending)
{
  rt_pending *p = *pending;
  *pending = NULL;
  if (p == NULL)
    return RT_OK;
  rt_pending_append(p, wait_queued);
  pass(p, TO_DEVICE, p->kind == RT_GATHER ? ALL_ROWS : OWN_ROWS);
  return rt_pending_end(p);
}

void rt_comm_give_up(rt_pending **pending)
{
  rt_pending *p = *pending;
  *pending = NULL;
  if (p == NULL)
    return;
  p->open = false;
  p->given_up = true;
  if (p->shm != NULL)
    rt_shm_give_up(p->shm);
  else if (p->comm->lane->exchanges != NULL)
    rt_exchanges_give_up(p->comm->lane->exchanges);
  if (p->n_queued == 0)
    rt_pending_give_back(p); // otherwise the queue may still call it
}
