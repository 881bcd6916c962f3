/** \file comm_exchange.c
 *  Scatters and gathers of parts by messages between every two ranks. */
#include "par/comm_exchange.h"

#include "par/comm_shm.h"
#include <stdlib.h>
#include <string.h>

/** Bytes of the messages of a round together; a message has at least LEAST. */
enum { ROUND = 1 << 20, LEAST = 4 << 10, LINE = 64, BLOCK = 8 << 10, TAG = 7 };

struct rt_exchanges {
  MPI_Comm comm; // borrowed
  int rank, size;
  size_t piece;              // bytes of a message, a multiple of LINE
  char *out, *in;            // owned [size][piece]
  MPI_Request *request;      // owned [2 * size]
  int n_requests;            // of the current round
  rt_exchange *first, *last; // borrowed
  int code;                  // of the call of MPI that failed
  uint64_t sent;
};

rt_err rt_exchanges_create(MPI_Comm comm, size_t most, rt_exchanges **out)
{
  rt_exchanges *q = calloc(1, sizeof *q);
  *out = q;
  RT_CHECK(q != NULL, RT_ERR_MEM, "a queue of exchanges");
  q->comm = comm;
  q->code = MPI_SUCCESS;
  RT_TRY_MPI(MPI_Comm_rank(comm, &q->rank));
  RT_TRY_MPI(MPI_Comm_size(comm, &q->size));
  const size_t n = (size_t)q->size, each = ROUND / n;
  q->piece = each > LEAST ? each : LEAST;
  q->piece = q->piece < most ? q->piece : most;
  q->piece = (q->piece + LINE - 1) / LINE * LINE;
  q->out = malloc(n * q->piece);
  q->in = malloc(n * q->piece);
  q->request = calloc(2 * n, sizeof(MPI_Request));
  RT_CHECK(q->out && q->in && q->request, RT_ERR_MEM,
           "buffers to exchange 2 x %zu bytes with %zu ranks", q->piece, n);
  return RT_OK;
}

void rt_exchanges_destroy(rt_exchanges **out)
{
  rt_exchanges *q = *out;
  *out = NULL;
  if (q == NULL)
    return;
  if (q->first == NULL) { // otherwise messages may still be under way
    free(q->out);
    free(q->in);
  }
  free(q->request);
  free(q);
}

void rt_exchanges_give_up(rt_exchanges *q)
{
  q->code = q->code == MPI_SUCCESS ? MPI_ERR_PENDING : q->code;
}

/** Bytes of piece \a round of the share of rank \a r. */
static size_t piece_bytes(const rt_exchanges *q, const rt_exchange *x, int r)
{
  const size_t all = rt_shares_bytes(&x->shares, r);
  const size_t from = (size_t)x->round * q->piece;
  return from >= all ? 0 : all - from < q->piece ? all - from : q->piece;
}

static void note(rt_exchanges *q, int code)
{
  q->code = q->code == MPI_SUCCESS ? code : q->code;
}

static void receive(rt_exchanges *q, int r, size_t n)
{
  if (n > 0)
    note(q, MPI_Irecv(q->in + (size_t)r * q->piece, (int)n, MPI_BYTE, r, TAG,
                      q->comm, &q->request[q->n_requests++]));
}

static void send(rt_exchanges *q, int r, const char *from, size_t n)
{
  if (n > 0)
    note(q, MPI_Isend(from, (int)n, MPI_BYTE, r, TAG, q->comm,
                      &q->request[q->n_requests++]));
  q->sent += n;
}

/** Start the messages of the current round of \a x. */
static void post(rt_exchanges *q, const rt_exchange *x)
{
  const size_t at = (size_t)x->round * q->piece;
  const size_t mine = piece_bytes(q, x, q->rank);
  q->n_requests = 0;
  for (int i = 1; i < q->size; i++) {
    const int r = (q->rank + i) % q->size;
    receive(q, r, x->op == RT_SHARE_SCATTER ? mine : piece_bytes(q, x, r));
  }
  char *own = q->out + (size_t)q->rank * q->piece;
  if (x->op == RT_SHARE_GATHER)
    rt_shares_read(&x->shares, q->rank, at, mine, own);
  for (int i = 1; i < q->size; i++) {
    const int r = (q->rank + i) % q->size;
    char *theirs = q->out + (size_t)r * q->piece;
    if (x->op == RT_SHARE_GATHER) {
      send(q, r, own, mine);
      continue;
    }
    const size_t n = piece_bytes(q, x, r);
    rt_shares_read(&x->shares, r, at, n, theirs);
    send(q, r, theirs, n);
  }
}

/** Add what came to \a n bytes at \a mine, in the order of ranks; they are at
 *  \a at in this round's piece. */
static void add_run(const rt_exchanges *q, rt_dtype type, char *mine, size_t at,
                    size_t n)
{
  _Alignas(LINE) char sum[BLOCK];
  for (size_t part; n > 0; n -= part, mine += part, at += part) {
    part = n < BLOCK ? n : BLOCK;
    for (int r = 0; r < q->size; r++) {
      const char *x = r == q->rank ? mine : q->in + (size_t)r * q->piece + at;
      if (r == 0)
        memcpy(sum, x, part);
      else
        rt_shm_add(type, sum, x, part);
    }
    memcpy(mine, sum, part);
  }
}

/** Use what has come in the current round of \a x. */
static void take_in(const rt_exchanges *q, const rt_exchange *x)
{
  const size_t from = (size_t)x->round * q->piece;
  if (x->op == RT_SHARE_GATHER) {
    for (int r = 0; r < q->size; r++)
      if (r != q->rank)
        rt_shares_write(&x->shares, r, from, piece_bytes(q, x, r),
                        q->in + (size_t)r * q->piece);
    return;
  }
  const size_t n = piece_bytes(q, x, q->rank);
  rt_walk w = rt_walk_from(&x->shares, q->rank, from);
  char *run;
  for (size_t at = 0, part; at < n; at += part) {
    part = rt_walk_next(&w, n - at, &run);
    add_run(q, x->type, run, at, part);
  }
}

void rt_exchange_start(rt_exchanges *q, rt_exchange *x)
{
  const size_t most = rt_shares_most(&x->shares);
  x->round = 0;
  x->n_rounds = (int64_t)((most + q->piece - 1) / q->piece);
  x->done = x->n_rounds == 0;
  x->next = NULL;
  if (x->done)
    return;
  if (q->last != NULL)
    q->last->next = x;
  q->last = x;
  if (q->first == NULL) {
    q->first = x;
    post(q, x);
  }
}

bool rt_exchange_advance(rt_exchanges *q)
{
  bool moved = false;
  int come = 0;
  while (q->first != NULL && q->code == MPI_SUCCESS) {
    rt_exchange *x = q->first;
    note(q, MPI_Testall(q->n_requests, q->request, &come, MPI_STATUSES_IGNORE));
    if (!come || q->code != MPI_SUCCESS)
      break;
    moved = true;
    take_in(q, x);
    x->done = ++x->round == x->n_rounds;
    if (x->done) {
      q->first = x->next;
      q->last = q->first == NULL ? NULL : q->last;
    }
    if (q->first != NULL)
      post(q, q->first);
  }
  return moved;
}

bool rt_exchange_done(const rt_exchanges *q, const rt_exchange *x)
{
  return x->done || q->code != MPI_SUCCESS;
}

rt_err rt_exchange_error(const rt_exchanges *q)
{
  return q->code == MPI_SUCCESS
             ? RT_OK
             : rt_mpi_error(q->code, "an exchange of rows", __FILE__, __LINE__);
}

uint64_t rt_exchange_sent(const rt_exchanges *q)
{
  return q->sent;
}
