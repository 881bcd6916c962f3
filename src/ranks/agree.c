/** \file agree.c
 *  Agreement of ranks on errors, and a record of where each rank waits. */
#include "ranks/agree.h"

#include "base/clock.h"
#include "base/hash.h"
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { HOST = 64, TEXT = 4096 }; // sizes of host name and text of an error

/** Seconds that a failed rank waits for its peers. */
static const double patience_s = 3.0;

/** The vote of a rank.  The minimum over all ranks of each member decides. */
typedef struct vote {
  int64_t first;     // first rank that failed; the number of ranks if none did
  int64_t succeeded; // 0: some rank succeeded; 1: none did
  int64_t place, minus_place;
} vote;
enum { N_VOTE = sizeof(vote) / sizeof(int64_t) };

// Deliberately process-wide: the process has one main thread, which is in at
// most one collective at a time, and a watchdog thread that reads this.
static struct {
  double seconds, moved;
  _Atomic uint64_t count, signs;
  _Atomic(const char *) where;
  int key;           // MPI attribute key, if has_key
  bool has_key;      //
  uint64_t identity; // of this process; 0: not set yet
  bool alone;
  // not on the stack: MPI may still write here after we have left
  MPI_Request request;
  vote mine, all;
} self;

rt_err rt_mpi_error(int code, const char *call, const char *file, int line)
{
  char text[MPI_MAX_ERROR_STRING] = "";
  int n = 0, kind = MPI_ERR_OTHER;
  MPI_Error_string(code, text, &n);
  MPI_Error_class(code, &kind);
  return rt_err_set(kind == MPI_ERR_NO_MEM ? RT_ERR_MEM : RT_ERR_INTERNAL, file,
                    line, "%.*s failed: %s", (int)strcspn(call, "("), call,
                    text);
}

double rt_ranks_enter(const char *where)
{
  atomic_fetch_add_explicit(&self.count, 1, memory_order_relaxed);
  atomic_store_explicit(&self.where, where, memory_order_relaxed);
  return rt_now_s();
}

void rt_ranks_leave(double since)
{
  atomic_store_explicit(&self.where, NULL, memory_order_relaxed);
  self.seconds += rt_now_s() - since;
}

double rt_ranks_seconds(void)
{
  return self.seconds;
}

void rt_ranks_moved(double s)
{
  self.moved += s;
}

double rt_ranks_moved_seconds(void)
{
  return self.moved;
}

uint64_t rt_ranks_count(void)
{
  return atomic_load_explicit(&self.count, memory_order_relaxed);
}

void rt_ranks_alive(void)
{
  atomic_fetch_add_explicit(&self.signs, 1, memory_order_relaxed);
}

uint64_t rt_ranks_signs(void)
{
  return atomic_load_explicit(&self.signs, memory_order_relaxed);
}

const char *rt_ranks_where(void)
{
  return atomic_load_explicit(&self.where, memory_order_relaxed);
}

bool rt_agree_alone(void)
{
  return self.alone;
}

/** A number that differs between processes. */
static uint64_t identity(void)
{
  struct {
    char host[HOST];
    int64_t pid, s, ns;
  } me;
  struct timespec now;
  if (self.identity == 0) {
    memset(&me, 0, sizeof me);
    clock_gettime(CLOCK_REALTIME, &now);
    gethostname(me.host, sizeof me.host - 1);
    me.pid = getpid();
    me.s = now.tv_sec;
    me.ns = now.tv_nsec;
    self.identity = rt_hash_xxh3(&me, sizeof me) | 1;
  }
  return self.identity;
}

/** MPI calls this when the caller's communicator is freed. */
static int forget(MPI_Comm comm, int key, void *value, void *extra)
{
  rt_quorum *const q = value;
  int over = 0;
  (void)comm, (void)key, (void)extra;
  MPI_Finalized(&over);
  if (!over && !self.alone) // otherwise an agreement may still be pending on it
    MPI_Comm_free(&q->comm);
  if (q->owned)
    free(q);
  return MPI_SUCCESS;
}

static rt_err init(MPI_Comm comm, int number, bool owned, rt_quorum *q)
{
  uint64_t id = identity();
  *q = (rt_quorum){.comm = MPI_COMM_NULL, .number = number, .owned = owned};
  RT_TRY_MPI(MPI_Comm_rank(comm, &q->rank));
  RT_TRY_MPI(MPI_Comm_size(comm, &q->size));
  if (!self.has_key)
    RT_TRY_MPI(
        MPI_Comm_create_keyval(MPI_COMM_NULL_COPY_FN, forget, &self.key, NULL));
  self.has_key = true;
  RT_TRY_MPI(MPI_Comm_dup(comm, &q->comm));
  RT_TRY_MPI(MPI_Comm_set_errhandler(q->comm, MPI_ERRORS_RETURN));
  RT_TRY_MPI(MPI_Allreduce(&id, &q->group, 1, MPI_UINT64_T, MPI_SUM, q->comm));
  q->group |= 1;
  RT_TRY_MPI(MPI_Comm_set_attr(comm, self.key, q));
  return RT_OK;
}

rt_err rt_quorum_init(MPI_Comm comm, int number, rt_quorum *q)
{
  return init(comm, number, false, q);
}

static rt_err quorum_of(MPI_Comm comm, rt_quorum **out)
{
  int found = 0, rank;
  if (self.has_key)
    RT_TRY_MPI(MPI_Comm_get_attr(comm, self.key, out, &found));
  if (found)
    return RT_OK;
  RT_TRY_MPI(MPI_Comm_rank(comm, &rank));
  rt_quorum *const q = malloc(sizeof *q);
  RT_CHECK(q != NULL, RT_ERR_MEM, "a communicator");
  const rt_err err = init(comm, rank, true, q);
  if (err == RT_OK)
    *out = q;
  else
    free(q);
  return err;
}

/** Wait for the vote, for at most \a limit_s seconds (0: without limit).  Peers
 *  may arrive minutes later, or run on the same core, so yield first, then
 *  sleep. */
static rt_err await(double limit_s, bool *came)
{
  const double since = rt_now_s();
  const int yields = 1000;
  const long longest_nap_ns = 1000000;
  long nap_ns = 1000;
  int done = 0;
  for (int tries = 0; !done; tries++) {
    RT_TRY_MPI(MPI_Test(&self.request, &done, MPI_STATUS_IGNORE));
    if (limit_s > 0.0 && rt_now_s() - since > limit_s)
      break;
    if (tries < yields) {
      sched_yield();
      continue;
    }
    nanosleep(&(struct timespec){0, nap_ns}, NULL);
    nap_ns = 2 * nap_ns < longest_nap_ns ? 2 * nap_ns : longest_nap_ns;
  }
  *came = done != 0;
  return RT_OK;
}

/** Receive the error of rank \a first, which broadcasts it. */
static rt_err hear(const rt_quorum *q, int first, bool some, rt_err err)
{
  struct {
    int err;
    char text[TEXT];
  } word = {(int)err, ""};
  char host[HOST] = "?";
  const bool mine = err != RT_OK && q->rank == first;
  gethostname(host, sizeof host - 1);
  if (some && q->number > 0)
    snprintf(word.text, sizeof word.text, "rank %d on %s: ", q->number, host);
  const size_t used = strlen(word.text);
  snprintf(word.text + used, sizeof word.text - used, "%s", rt_err_text());
  RT_TRY_MPI(MPI_Bcast(&word, (int)sizeof word, MPI_BYTE, first, q->comm));
  if (!mine) // the rank that failed keeps its own trace
    err = RT_FAIL((rt_err)word.err, "%s", word.text);
  rt_err_shared(q->group, mine ? RT_ERR_MINE : RT_ERR_OF_PEER);
  return err;
}

/** Ask all ranks; *came: false if they did not arrive in time. */
static rt_err ask(const rt_quorum *q, rt_err err, double limit_s,
                  const char *where, bool *came)
{
  const int64_t place =
      (int64_t)(rt_hash_xxh3(where, strlen(where)) & INT64_MAX);
  self.mine = (vote){.first = err == RT_OK ? q->size : q->rank,
                     .succeeded = err != RT_OK,
                     .place = place,
                     .minus_place = -place};
  RT_TRY_MPI(MPI_Iallreduce(&self.mine, &self.all, N_VOTE, MPI_INT64_T, MPI_MIN,
                            q->comm, &self.request));
  return await(err == RT_OK ? 0.0 : limit_s, came);
}

static rt_err agree(const rt_quorum *q, rt_err err, double limit_s,
                    const char *where)
{
  bool came = false;
  RT_CHECK(err != RT_OK || !self.alone, RT_ERR_INTERNAL,
           "%s: continued after an error that the other ranks do not know of",
           where);
  if (err != RT_OK && (self.alone || rt_err_shared_by() == q->group))
    return err;
  RT_TRY(ask(q, err, limit_s, where, &came));
  self.alone = !came;
  if (!came)
    return rt_err_forward(err, __FILE__, __LINE__);
  if (self.all.first < q->size)
    return hear(q, (int)self.all.first, self.all.succeeded == 0, err);
  if (self.all.place == -self.all.minus_place)
    return RT_OK;
  err = RT_FAIL(RT_ERR_INTERNAL,
                "ranks are in different agreements, this one in that of %s",
                where);
  rt_err_shared(q->group, RT_ERR_MINE);
  return err;
}

rt_err rt_agree_ranks(MPI_Comm comm, rt_err err, rt_patience patience,
                      const char *where)
{
  int size;
  rt_quorum *q;
  RT_TRY_MPI(MPI_Comm_size(comm, &size));
  if (size == 1)
    return err;
  const double since = rt_ranks_enter(where);
  rt_err all = quorum_of(comm, &q);
  if (all == RT_OK)
    all = agree(q, err, patience == RT_SOON ? patience_s : 0.0, where);
  rt_ranks_leave(since);
  return all;
}
