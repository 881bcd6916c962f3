/** \file comm_shm.c
 *  Sums and gathers through shared memory. */
#include "par/comm_shm.h"

#include "base/log.h"
#include "base/split.h"
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

/** A chunk stays in a core's own cache between its three stages; the ring of
 *  all slots, 2 MiB a rank, in the cache that cores share. */
enum { CHUNK = 256 << 10, N_SLOTS = 8, LINE = 64, BLOCK = 1024 };

_Static_assert(ATOMIC_LLONG_LOCK_FREE == 2, "counters between processes");

/** What a rank shows to the others; counters on cache lines of their own. */
typedef struct board {
  _Alignas(LINE) _Atomic int64_t n_in;
  _Alignas(LINE) _Atomic int64_t n_sum;
  _Alignas(LINE) _Atomic int64_t n_out;
  _Alignas(LINE) uint64_t tag[N_SLOTS]; // of the operation in the slot
  _Alignas(LINE) char slot[N_SLOTS][CHUNK];
} board;

struct rt_shm {
  MPI_Comm comm; // owned
  MPI_Win win;   // owned
  int rank, size;
  board **board;              // owned [size], in the window
  int64_t n_in, n_sum, n_out; // chunks that went through each stage here
  int64_t all_sum, all_out;   // least of all ranks, when last looked at
  int64_t all_in;
  int64_t n_chunks;          // of all operations so far
  rt_shm_op *in, *sum, *out; // borrowed: the operation at each stage
  rt_shm_op *last;           // borrowed
  bool failed;
  char text[160];
};

/** The board in a rank's part of the window.  Open MPI 4.1 starts parts 8 bytes
 *  behind a cache line; the low bits are the same in every process. */
static board *align(char *part)
{
  return (board *)(part + (LINE - (uintptr_t)part % LINE) % LINE);
}

/** A window of one board a rank; false when the node does not give it. */
static bool make_window(rt_shm *s)
{
  MPI_Info info;
  char *part;
  MPI_Info_create(&info);
  MPI_Info_set(info, "alloc_shared_noncontig", "true"); // near its owner
  int ok = MPI_Win_allocate_shared(sizeof(board) + LINE, 1, info, s->comm,
                                   &part, &s->win) == MPI_SUCCESS;
  MPI_Info_free(&info);
  for (int r = 0; ok && r < s->size; r++) {
    MPI_Aint bytes;
    int unit;
    ok = MPI_Win_shared_query(s->win, r, &bytes, &unit, &part) == MPI_SUCCESS;
    s->board[r] = align(part);
  }
  if (ok) { // the memory comes as zeros, but MPI does not promise it
    board *b = s->board[s->rank];
    atomic_init(&b->n_in, 0);
    atomic_init(&b->n_sum, 0);
    atomic_init(&b->n_out, 0);
  }
  // also the barrier that keeps the others from boards that are not ready
  MPI_Allreduce(MPI_IN_PLACE, &ok, 1, MPI_INT, MPI_MIN, s->comm);
  return ok != 0;
}

rt_err rt_shm_create(MPI_Comm comm, rt_shm **out)
{
  *out = NULL;
  int size, rank;
  MPI_Comm node;
  MPI_Comm_size(comm, &size);
  MPI_Comm_rank(comm, &rank);
  RT_CHECK(MPI_Comm_split_type(comm, MPI_COMM_TYPE_SHARED, rank, MPI_INFO_NULL,
                               &node) == MPI_SUCCESS,
           RT_ERR_INTERNAL, "MPI_Comm_split_type failed");
  int n_here;
  MPI_Comm_size(node, &n_here);
  if (n_here < size) {
    MPI_Comm_free(&node);
    return RT_OK;
  }
  rt_shm *s = calloc(1, sizeof *s);
  board **boards = calloc((size_t)size, sizeof(board *));
  if (s == NULL || boards == NULL) {
    free(s);
    free(boards);
    MPI_Comm_free(&node);
    return RT_FAIL(RT_ERR_MEM, "shared memory of %d ranks", size);
  }
  *s = (rt_shm){.comm = node,
                .win = MPI_WIN_NULL,
                .rank = rank,
                .size = size,
                .board = boards};
  MPI_Comm_set_errhandler(node, MPI_ERRORS_RETURN);
  if (make_window(s)) {
    *out = s;
    return RT_OK;
  }
  rt_warn("no shared memory of %zu bytes a rank for sums inside this node: "
          "MPI's own are slower; is /dev/shm full?",
          sizeof(board));
  rt_shm_destroy(&s);
  return RT_OK;
}

void rt_shm_destroy(rt_shm **shm)
{
  rt_shm *s = *shm;
  *shm = NULL;
  if (s == NULL)
    return;
  if (s->win != MPI_WIN_NULL)
    MPI_Win_free(&s->win);
  MPI_Comm_free(&s->comm);
  free(s->board);
  free(s);
}

/** Tells operations apart; all ranks must show the same. */
static uint64_t tag_of(const rt_shm_op *op)
{
  const unsigned kind =
      op->bytes_of != NULL ? 0xffu : (unsigned)op->type << 4 | (unsigned)op->op;
  return (uint64_t)op->bytes << 8 | kind;
}

void rt_shm_start(rt_shm *s, rt_shm_op *op)
{
  if (s->failed)
    return;                // it counts as done, and the finish says why
  size_t most = op->bytes; // of one rank
  for (int r = 0; op->bytes_of != NULL && r < s->size; r++)
    most = r == 0 || op->bytes_of[r] > most ? op->bytes_of[r] : most;
  op->first = s->n_chunks;
  // at least one, so that all ranks show each other a tag
  op->n_chunks = most == 0 ? 1 : (int64_t)((most + CHUNK - 1) / CHUNK);
  op->next = NULL;
  s->n_chunks += op->n_chunks;
  if (s->last != NULL)
    s->last->next = op;
  s->last = op;
  s->in = s->in == NULL ? op : s->in;
  s->sum = s->sum == NULL ? op : s->sum;
  s->out = s->out == NULL ? op : s->out;
  rt_shm_advance(s);
}

bool rt_shm_done(const rt_shm *s, const rt_shm_op *op)
{
  return s->failed || s->n_out >= op->first + op->n_chunks;
}

rt_err rt_shm_error(const rt_shm *s)
{
  RT_CHECK(!s->failed, RT_ERR_INTERNAL, "%s", s->text);
  return RT_OK;
}

/** Bytes of chunk \a k of something of \a bytes. */
static size_t chunk_bytes(size_t bytes, int64_t k)
{
  const size_t from = (size_t)k * CHUNK;
  return from >= bytes ? 0 : bytes - from < CHUNK ? bytes - from : CHUNK;
}

/** Bytes [*from, *to) of a chunk of \a bytes that rank \a r adds up: whole
 * cache lines, but for the end. */
static void slice_of(const rt_shm *s, size_t bytes, int r, size_t *from,
                     size_t *to)
{
  const int64_t lines = (int64_t)((bytes + LINE - 1) / LINE);
  *from = (size_t)rt_split_begin(lines, s->size, r) * LINE;
  *to = (size_t)rt_split_begin(lines, s->size, r + 1) * LINE;
  *from = *from < bytes ? *from : bytes;
  *to = *to < bytes ? *to : bytes;
}

/** Where rank \a r's part of a gather begins. */
static size_t part_at(const rt_shm_op *op, int r)
{
  size_t at = 0;
  for (int i = 0; i < r; i++)
    at += op->bytes_of[i];
  return at;
}

/** Copy this rank's part of chunk \a k of \a op into its slot. */
static void copy_in(const rt_shm *s, const rt_shm_op *op, int64_t k, char *slot)
{
  const size_t at = (size_t)k * CHUNK;
  if (op->bytes_of != NULL) {
    memcpy(slot, op->data + part_at(op, s->rank) + at,
           chunk_bytes(op->bytes_of[s->rank], k));
    return;
  }
  const size_t bytes = chunk_bytes(op->bytes, k);
  size_t from, to;
  slice_of(s, bytes, s->rank, &from, &to);
  memcpy(slot, op->data + at, from);
  memcpy(slot + to, op->data + at + to, bytes - to);
}

/** Copy what the others made of chunk \a k from their slots. */
static void copy_out(const rt_shm *s, const rt_shm_op *op, int64_t k,
                     size_t slot)
{
  const size_t at = (size_t)k * CHUNK, bytes = chunk_bytes(op->bytes, k);
  for (int r = 0; r < s->size; r++) {
    const char *theirs = s->board[r]->slot[slot];
    if (r == s->rank)
      continue;
    if (op->bytes_of != NULL) {
      memcpy(op->data + part_at(op, r) + at, theirs,
             chunk_bytes(op->bytes_of[r], k));
      continue;
    }
    size_t from, to;
    slice_of(s, bytes, r, &from, &to);
    memcpy(op->data + at + from, theirs + from, to - from);
  }
}

static void combine_f32(float *restrict a, const float *restrict b, size_t n,
                        rt_op op)
{
  if (op == RT_SUM)
    for (size_t i = 0; i < n; i++)
      a[i] += b[i];
  else if (op == RT_MAX)
    for (size_t i = 0; i < n; i++)
      a[i] = b[i] > a[i] ? b[i] : a[i];
  else
    for (size_t i = 0; i < n; i++)
      a[i] = b[i] < a[i] ? b[i] : a[i];
}

static void combine_f64(double *restrict a, const double *restrict b, size_t n,
                        rt_op op)
{
  if (op == RT_SUM)
    for (size_t i = 0; i < n; i++)
      a[i] += b[i];
  else if (op == RT_MAX)
    for (size_t i = 0; i < n; i++)
      a[i] = b[i] > a[i] ? b[i] : a[i];
  else
    for (size_t i = 0; i < n; i++)
      a[i] = b[i] < a[i] ? b[i] : a[i];
}

/** a = a op b, \a bytes of them. */
static void combine(const rt_shm_op *op, void *a, const void *b, size_t bytes)
{
  if (op->type == RT_F32)
    combine_f32(a, b, bytes / sizeof(float), op->op);
  else
    combine_f64(a, b, bytes / sizeof(double), op->op);
}

/** Add up this rank's slice of chunk \a k, in the order of ranks; the result
 *  goes home and into the slot, where nobody else looked at this slice. */
static void add_slice(const rt_shm *s, const rt_shm_op *op, int64_t k,
                      size_t slot)
{
  _Alignas(LINE) char acc[BLOCK * sizeof(double)];
  char *data = op->data + (size_t)k * CHUNK;
  size_t from, to;
  slice_of(s, chunk_bytes(op->bytes, k), s->rank, &from, &to);
  for (size_t at = from; at < to; at += sizeof acc) {
    const size_t n = to - at < sizeof acc ? to - at : sizeof acc;
    for (int r = 0; r < s->size; r++) {
      const char *x = (r == s->rank ? data : s->board[r]->slot[slot]) + at;
      if (r == 0)
        memcpy(acc, x, n);
      else
        combine(op, acc, x, n);
    }
    memcpy(data + at, acc, n);
    memcpy(s->board[s->rank]->slot[slot] + at, acc, n);
  }
}

/** The least of one counter over all ranks, looked up only when the last look
 *  \a *known does not suffice for \a wanted. */
static bool reached(const rt_shm *s, size_t counter, int64_t *known,
                    int64_t wanted)
{
  if (*known >= wanted)
    return true;
  int64_t least = INT64_MAX;
  for (int r = 0; r < s->size; r++) {
    const _Atomic int64_t *n =
        (const void *)((const char *)s->board[r] + counter);
    const int64_t at = atomic_load_explicit(n, memory_order_acquire);
    least = at < least ? at : least;
  }
  *known = least;
  return least >= wanted;
}

/** All ranks have shown their tag of this chunk: are they one? */
static bool tags_agree(rt_shm *s, const rt_shm_op *op, size_t slot)
{
  const uint64_t mine = tag_of(op);
  for (int r = 0; r < s->size; r++) {
    const uint64_t theirs = s->board[r]->tag[slot];
    if (theirs == mine)
      continue;
    s->failed = true;
    snprintf(
        s->text, sizeof s->text,
        "ranks entered different collectives: rank %d has %llu bytes (kind "
        "%llx), rank %d %llu (%llx)",
        s->rank, (unsigned long long)(mine >> 8),
        (unsigned long long)(mine & 0xff), r, (unsigned long long)(theirs >> 8),
        (unsigned long long)(theirs & 0xff));
    return false;
  }
  return true;
}

/** The next operation when \a op has no chunk beyond \a done. */
static rt_shm_op *next_of(rt_shm_op *op, int64_t done)
{
  return done == op->first + op->n_chunks ? op->next : op;
}

static bool try_in(rt_shm *s)
{
  board *mine = s->board[s->rank];
  if (s->in == NULL ||
      !reached(s, offsetof(board, n_out), &s->all_out, s->n_in + 1 - N_SLOTS))
    return false;
  const size_t slot = (size_t)(s->n_in % N_SLOTS);
  mine->tag[slot] = tag_of(s->in);
  copy_in(s, s->in, s->n_in - s->in->first, mine->slot[slot]);
  s->in = next_of(s->in, ++s->n_in);
  atomic_store_explicit(&mine->n_in, s->n_in, memory_order_release);
  return true;
}

static bool try_sum(rt_shm *s)
{
  if (s->n_sum == s->n_in ||
      !reached(s, offsetof(board, n_in), &s->all_in, s->n_sum + 1))
    return false;
  const size_t slot = (size_t)(s->n_sum % N_SLOTS);
  if (!tags_agree(s, s->sum, slot))
    return false;
  if (s->sum->bytes_of == NULL)
    add_slice(s, s->sum, s->n_sum - s->sum->first, slot);
  s->sum = next_of(s->sum, ++s->n_sum);
  atomic_store_explicit(&s->board[s->rank]->n_sum, s->n_sum,
                        memory_order_release);
  return true;
}

static bool try_out(rt_shm *s)
{
  if (s->n_out == s->n_sum ||
      !reached(s, offsetof(board, n_sum), &s->all_sum, s->n_out + 1))
    return false;
  copy_out(s, s->out, s->n_out - s->out->first, (size_t)(s->n_out % N_SLOTS));
  s->out = next_of(s->out, ++s->n_out);
  if (s->out == NULL)
    s->last = NULL;
  atomic_store_explicit(&s->board[s->rank]->n_out, s->n_out,
                        memory_order_release);
  return true;
}

bool rt_shm_advance(rt_shm *s)
{
  bool moved = false;
  // what is nearest to its end first: its chunk is still in the cache
  while (!s->failed && (try_out(s) || try_sum(s) || try_in(s)))
    moved = true;
  return moved;
}
