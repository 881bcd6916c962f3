/** \file comm_shm.c
 *  Sums, scatters and gathers through shared memory. */
#include "par/comm_shm.h"

#include "base/bf16.h"
#include "base/log.h"
#include "base/split.h"
#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

/** A chunk stays in a core's private cache between its three stages; the ring
 *  of all slots (2 MiB per rank) in the shared cache. */
enum { CHUNK = 256 << 10, N_SLOTS = 8, LINE = 64, BLOCK = 1024 };

_Static_assert(ATOMIC_LLONG_LOCK_FREE == 2, "counters between processes");

/** What a rank publishes to the others; each counter has its own cache line. */
typedef struct board {
  _Alignas(LINE) _Atomic int64_t n_in;
  _Alignas(LINE) _Atomic int64_t n_sum;
  _Alignas(LINE) _Atomic int64_t n_out;
  _Alignas(LINE) uint64_t tag[N_SLOTS]; // tag of the operation in the slot
  _Alignas(LINE) char slot[N_SLOTS][CHUNK];
} board;

struct rt_shm {
  int rank, size;
  char *memory;               // owned: [size] parts of part_bytes
  board **board;              // owned [size], in memory
  int64_t n_in, n_sum, n_out; // chunks that passed each stage on this rank
  int64_t all_sum, all_out;   // minimum over all ranks, when last read
  int64_t all_in;
  int64_t n_chunks;          // chunks of all operations so far
  rt_shm_op *in, *sum, *out; // borrowed: the operation at each stage
  rt_shm_op *last;           // borrowed
  uint64_t sent;
  bool failed;
  char text[160];
};

/** Each board has its own pages, allocated near the rank that touches it first.
 */
size_t rt_shm_bytes(void)
{
  const size_t page = (size_t)sysconf(_SC_PAGESIZE);
  return (sizeof(board) + page - 1) / page * page;
}

enum { NAME = 64 };

/** Choose a unique name; the first rank creates the file with \a bytes
 *  reserved. */
static rt_err make_file(size_t bytes, char name[NAME])
{
  struct timespec now;
  clock_gettime(CLOCK_REALTIME, &now);
  snprintf(name, NAME, "/retort-%d-%lld-%ld", (int)getpid(),
           (long long)now.tv_sec, now.tv_nsec);
  const int fd = shm_open(name, O_CREAT | O_EXCL | O_RDWR, 0600);
  RT_CHECK(fd >= 0, RT_ERR_IO, "cannot make /dev/shm%s: %s", name,
           strerror(errno));
  const int code = ftruncate(fd, (off_t)bytes) == 0 ? 0 : errno;
  close(fd);
  RT_CHECK(code == 0, RT_ERR_IO, "/dev/shm has no room for %zu bytes: %s",
           bytes, strerror(code));
  return RT_OK;
}

/** Map the file, and allocate this rank's part for certain: touching a page
 *  that does not fit into /dev/shm would kill the process. */
static rt_err map(rt_shm *s, const char *name)
{
  RT_ASSERT(s != NULL); // the ranks have agreed
  const size_t part = rt_shm_bytes(), bytes = part * (size_t)s->size;
  const int fd = shm_open(name, O_RDWR, 0);
  RT_CHECK(fd >= 0, RT_ERR_IO, "cannot open /dev/shm%s: %s", name,
           strerror(errno));
  const int code = posix_fallocate(fd, (off_t)part * s->rank, (off_t)part);
  void *const at =
      code == 0 ? mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0)
                : MAP_FAILED;
  const int why = code != 0 ? code : errno;
  close(fd);
  RT_CHECK(at != MAP_FAILED, RT_ERR_IO,
           "/dev/shm has no room for %zu bytes of each rank: %s", part,
           strerror(why));
  s->memory = at;
  for (int r = 0; r < s->size; r++)
    s->board[r] = (board *)(s->memory + part * (size_t)r);
  board *const mine = s->board[s->rank];
  atomic_init(&mine->n_in, 0);
  atomic_init(&mine->n_sum, 0);
  atomic_init(&mine->n_out, 0);
  return RT_OK;
}

/** The part that can fail on a single rank.  On any error all ranks do without
 *  shared memory. */
static rt_err allocate(int rank, int size, rt_shm **out)
{
  rt_shm *s = calloc(1, sizeof *s);
  *out = s;
  RT_CHECK(s != NULL, RT_ERR_MEM, "no memory");
  s->rank = rank;
  s->size = size;
  s->board = calloc((size_t)size, sizeof(board *));
  RT_CHECK(s->board != NULL, RT_ERR_MEM, "no memory for %d boards", size);
  return RT_OK;
}

/** Are all ranks of \a comm on this node? */
static rt_err share_node(MPI_Comm comm, bool *yes)
{
  int size, n_here;
  MPI_Comm node;
  RT_TRY_MPI(MPI_Comm_size(comm, &size));
  RT_TRY_MEETING("a new group", MPI_Comm_split_type(comm, MPI_COMM_TYPE_SHARED,
                                                    0, MPI_INFO_NULL, &node));
  RT_TRY_MPI(MPI_Comm_size(node, &n_here));
  MPI_Comm_free(&node);
  *yes = n_here == size; // the same on all ranks
  return RT_OK;
}

/** Agree on a step whose failure is not fatal: the ranks continue without
 *  shared memory. */
#define AGREE(comm, err) rt_agree_ranks(comm, err, RT_LATE, RT_HERE)

static rt_err create(MPI_Comm comm, int rank, int size, rt_shm **out)
{
  char name[NAME] = "";
  RT_TRY(AGREE(comm, allocate(rank, size, out)));
  rt_err err =
      rank == 0 ? make_file(rt_shm_bytes() * (size_t)size, name) : RT_OK;
  err = AGREE(comm, err);
  if (err == RT_OK) {
    RT_TRY_MEETING("broadcast", MPI_Bcast(name, NAME, MPI_BYTE, 0, comm));
    err = AGREE(comm, map(*out, name));
  }
  if (rank == 0) // ranks that have mapped the file keep it
    shm_unlink(name);
  return err;
}

rt_err rt_shm_create(MPI_Comm comm, rt_shm **out)
{
  int rank, size;
  bool one_node = false;
  *out = NULL;
  RT_TRY_MPI(MPI_Comm_size(comm, &size));
  RT_TRY_MPI(MPI_Comm_rank(comm, &rank));
  RT_TRY(share_node(comm, &one_node));
  if (!one_node)
    return RT_OK;
  const rt_err err = create(comm, rank, size, out);
  if (err == RT_OK)
    return RT_OK;
  rt_shm_destroy(out);
  if (err == RT_ERR_INTERNAL)
    return rt_err_forward(err, __FILE__, __LINE__);
  rt_warn("sums within this node go through MPI, which is slower: %s",
          rt_err_text());
  rt_err_clear();
  return RT_OK;
}

void rt_shm_destroy(rt_shm **shm)
{
  rt_shm *s = *shm;
  *shm = NULL;
  if (s == NULL)
    return;
  if (s->memory != NULL)
    munmap(s->memory, rt_shm_bytes() * (size_t)s->size);
  free(s->board);
  free(s);
}

/** Identifies an operation; all ranks must publish the same tag. */
static uint64_t tag_of(const rt_shm_op *op)
{
  const unsigned kind = op->shares != NULL ? 0xf0u | (unsigned)op->share_op
                        : op->bytes_of != NULL
                            ? 0xffu
                            : (unsigned)op->type << 4 | (unsigned)op->op;
  return (uint64_t)op->bytes << 8 | kind;
}

/** A slot of a scatter has a piece for every rank: its size. */
static size_t piece_of(const rt_shm *s)
{
  return CHUNK / (size_t)s->size / LINE * LINE;
}

/** Bytes of a rank's part in one chunk, and of the largest part. */
static size_t chunk_of(const rt_shm *s, const rt_shm_op *op, size_t *most)
{
  *most = op->shares != NULL ? rt_shares_most(op->shares) : op->bytes;
  for (int r = 0; op->bytes_of != NULL && r < s->size; r++)
    *most = r == 0 || op->bytes_of[r] > *most ? op->bytes_of[r] : *most;
  return op->shares != NULL && op->share_op == RT_SHARE_SCATTER ? piece_of(s)
                                                                : CHUNK;
}

void rt_shm_start(rt_shm *s, rt_shm_op *op)
{
  if (s->failed)
    return; // it counts as complete, and the finish returns the error
  size_t most;
  const size_t chunk = chunk_of(s, op, &most);
  op->first = s->n_chunks;
  // at least one, so that all ranks exchange a tag
  op->n_chunks = most == 0 ? 1 : (int64_t)((most + chunk - 1) / chunk);
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

void rt_shm_give_up(rt_shm *s)
{
  if (!s->failed)
    snprintf(s->text, sizeof s->text,
             "rank %d has given up a collective of this group", s->rank);
  s->failed = true;
}

uint64_t rt_shm_sent(const rt_shm *s)
{
  return s->sent;
}

/** Size of chunk \a k of \a bytes bytes in chunks of \a chunk. */
static size_t cut(size_t bytes, int64_t k, size_t chunk)
{
  const size_t from = (size_t)k * chunk;
  return from >= bytes ? 0 : bytes - from < chunk ? bytes - from : chunk;
}

static size_t chunk_bytes(size_t bytes, int64_t k)
{
  return cut(bytes, k, CHUNK);
}

/** Size of chunk \a k of the share of rank \a r. */
static size_t share_bytes(const rt_shm *s, const rt_shm_op *op, int r,
                          int64_t k)
{
  const size_t chunk =
      op->share_op == RT_SHARE_SCATTER ? piece_of(s) : (size_t)CHUNK;
  return cut(rt_shares_bytes(op->shares, r), k, chunk);
}

/** Bytes [*from, *to) of a chunk of \a bytes that rank \a r sums: whole cache
 *  lines, except at the end. */
static void slice_of(const rt_shm *s, size_t bytes, int r, size_t *from,
                     size_t *to)
{
  const int64_t lines = (int64_t)((bytes + LINE - 1) / LINE);
  *from = (size_t)rt_split_begin(lines, s->size, r) * LINE;
  *to = (size_t)rt_split_begin(lines, s->size, r + 1) * LINE;
  *from = *from < bytes ? *from : bytes;
  *to = *to < bytes ? *to : bytes;
}

/** Offset of rank \a r's part of a gather. */
static size_t part_at(const rt_shm_op *op, int r)
{
  size_t at = 0;
  for (int i = 0; i < r; i++)
    at += op->bytes_of[i];
  return at;
}

/** A scatter: copy piece \a k of every other rank's share into this rank's
 *  slot.  A gather: chunk \a k of its own share. */
static void copy_in_shares(rt_shm *s, const rt_shm_op *op, int64_t k,
                           char *slot)
{
  const size_t piece = piece_of(s);
  if (op->share_op == RT_SHARE_GATHER) {
    const size_t n = share_bytes(s, op, s->rank, k);
    rt_shares_read(op->shares, s->rank, (size_t)k * CHUNK, n, slot);
    s->sent += n * (size_t)(s->size - 1);
    return;
  }
  for (int r = 0; r < s->size; r++) {
    const size_t n = r == s->rank ? 0 : share_bytes(s, op, r, k);
    rt_shares_read(op->shares, r, (size_t)k * piece, n,
                   slot + (size_t)r * piece);
    s->sent += n;
  }
}

/** Copy this rank's part of chunk \a k of \a op into its slot. */
static void copy_in(rt_shm *s, const rt_shm_op *op, int64_t k, char *slot)
{
  const size_t at = (size_t)k * CHUNK;
  if (op->shares != NULL) {
    copy_in_shares(s, op, k, slot);
    return;
  }
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

static void copy_out_shares(const rt_shm *s, const rt_shm_op *op, int64_t k,
                            size_t slot)
{
  for (int r = 0; op->share_op == RT_SHARE_GATHER && r < s->size; r++)
    if (r != s->rank)
      rt_shares_write(op->shares, r, (size_t)k * CHUNK,
                      share_bytes(s, op, r, k), s->board[r]->slot[slot]);
}

/** Copy the results of the others for chunk \a k from their slots. */
static void copy_out(const rt_shm *s, const rt_shm_op *op, int64_t k,
                     size_t slot)
{
  if (op->shares != NULL) {
    copy_out_shares(s, op, k, slot);
    return;
  }
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

/** bf16 is summed in f32: \a a has twice the bytes of \a b. */
static void combine_bf16(float *restrict a, const rt_bf16 *restrict b, size_t n)
{
  for (size_t i = 0; i < n; i++)
    a[i] += rt_bf16_get(b[i]);
}

/** a = a op b, for \a bytes bytes of b. */
static void combine(const rt_shm_op *op, void *a, const void *b, size_t bytes)
{
  if (op->type == RT_BF16)
    combine_bf16(a, b, bytes / sizeof(rt_bf16));
  else if (op->type == RT_F32)
    combine_f32(a, b, bytes / sizeof(float), op->op);
  else
    combine_f64(a, b, bytes / sizeof(double), op->op);
}

void rt_shm_add(rt_dtype type, void *a, const void *b, size_t bytes)
{
  combine(&(rt_shm_op){.type = type, .op = RT_SUM}, a, b, bytes);
}

/** Begin with \a bytes bytes of the first rank. */
static void begin(const rt_shm_op *op, void *a, const void *b, size_t bytes)
{
  if (op->type == RT_BF16)
    rt_dtype_convert(a, RT_F32, b, RT_BF16, bytes / sizeof(rt_bf16));
  else
    memcpy(a, b, bytes);
}

/** The result, rounded once if it is of bf16. */
static void end(const rt_shm_op *op, void *to, const void *a, size_t bytes)
{
  if (op->type == RT_BF16)
    rt_dtype_convert(to, RT_BF16, a, RT_F32, bytes / sizeof(rt_bf16));
  else
    memcpy(to, a, bytes);
}

/** Sum \a bytes at \a mine in rank order; the others have them at \a from in
 *  their slots. */
static void add_run(const rt_shm *s, const rt_shm_op *op, size_t slot,
                    char *mine, size_t from, size_t bytes)
{
  _Alignas(LINE) char acc[BLOCK * sizeof(double)];
  const size_t step = op->type == RT_BF16 ? sizeof acc / 2 : sizeof acc;
  for (size_t at = 0; at < bytes; at += step) {
    const size_t n = bytes - at < step ? bytes - at : step;
    for (int r = 0; r < s->size; r++) {
      const char *x =
          (r == s->rank ? mine : s->board[r]->slot[slot] + from) + at;
      if (r == 0)
        begin(op, acc, x, n);
      else
        combine(op, acc, x, n);
    }
    end(op, mine + at, acc, n);
  }
}

/** Sum this rank's slice of chunk \a k; the result also goes to the slot,
 *  where no other rank reads this slice meanwhile. */
static void add_slice(const rt_shm *s, const rt_shm_op *op, int64_t k,
                      size_t slot)
{
  char *data = op->data + (size_t)k * CHUNK;
  size_t from, to;
  slice_of(s, chunk_bytes(op->bytes, k), s->rank, &from, &to);
  add_run(s, op, slot, data + from, from, to - from);
  memcpy(s->board[s->rank]->slot[slot] + from, data + from, to - from);
}

/** Sum piece \a k of this rank's share. */
static void add_share(const rt_shm *s, const rt_shm_op *op, int64_t k,
                      size_t slot)
{
  const size_t piece = piece_of(s), n = share_bytes(s, op, s->rank, k);
  const size_t from = (size_t)s->rank * piece;
  rt_walk w = rt_walk_from(op->shares, s->rank, (size_t)k * piece);
  char *run;
  for (size_t at = 0, part; at < n; at += part) {
    part = rt_walk_next(&w, n - at, &run);
    add_run(s, op, slot, run, from + at, part);
  }
}

/** Sum what this rank sums of chunk \a k. */
static void add_chunk(const rt_shm *s, const rt_shm_op *op, int64_t k,
                      size_t slot)
{
  if (op->shares == NULL && op->bytes_of == NULL)
    add_slice(s, op, k, slot);
  else if (op->shares != NULL && op->share_op == RT_SHARE_SCATTER)
    add_share(s, op, k, slot);
}

/** Has the minimum of a counter over all ranks reached \a wanted?  Reads it
 *  only if the last value *known does not suffice. */
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

/** Once all ranks have published their tag of this chunk: are all tags equal?
 */
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

/** The next operation if \a op has no chunk beyond \a done. */
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
  add_chunk(s, s->sum, s->n_sum - s->sum->first, slot);
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
  // the last stage first: its chunk is still in the cache
  while (!s->failed && (try_out(s) || try_sum(s) || try_in(s)))
    moved = true;
  return moved;
}
