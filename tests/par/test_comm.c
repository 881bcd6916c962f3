/** \file test_comm.c
 *  Collectives on host and device buffers, by shared memory and by MPI.
 *  ranks: 1 2 4 */
#include "par/comm_impl.h"
#include "base/clock.h"
#include "support/rt_test.h"

#include <math.h>
#include <string.h>
#include <unistd.h>

/** Common to most tests: all ranks, and a device. */
typedef struct scene {
  rt_comm *world;
  int rank, size;
  rt_dev *dev;
} scene;

/** \a shared: sums through shared memory, else through MPI in calls of at most
 *  1000 elements. */
static void start(scene *s, const char *device, bool shared)
{
  RT_OKAY(rt_comm_create(MPI_COMM_WORLD, &s->world));
  RT_OKAY(rt_dev_create(device, RT_F64, 1, &s->dev));
  s->rank = rt_comm_rank(s->world);
  s->size = rt_comm_size(s->world);
  if (!shared)
    rt_comm_limit(s->world, 1000, false);
}

static void finish(scene *s)
{
  rt_dev_destroy(&s->dev);
  rt_comm_destroy(&s->world);
  CU_ASSERT_PTR_NULL(s->world);
}

/** Element \a i of rank \a r: signs and sizes mixed, so that order matters. */
static double value(int r, size_t i)
{
  static const double size[] = {1e-3, 1.0, 30.0, 0.1, 1000.0, 7.0, 0.02};
  const uint32_t bits =
      (uint32_t)(i * 2654435761u + (size_t)r * 40503u) ^ (uint32_t)(i >> 5);
  return ((double)bits / 0x1p31 - 1.0) * size[(i + (size_t)r) % 7];
}

static rt_view make(rt_dtype type, size_t n, int rank)
{
  const rt_view v = rt_view_of(malloc(n * 8 + 8), type, 1, (int64_t)n);
  CU_ASSERT_PTR_NOT_NULL_FATAL(v.data);
  for (size_t i = 0; i < n; i++)
    if (type == RT_F32)
      ((float *)v.data)[i] = (float)value(rank, i);
    else
      ((double *)v.data)[i] = value(rank, i);
  return v;
}

static double get(const rt_view *v, size_t i)
{
  return v->dtype == RT_F32 ? (double)((float *)v->data)[i]
                            : ((double *)v->data)[i];
}

/** The same on one rank: added in the order of ranks, in the type itself. */
static double serial(rt_dtype type, int size, size_t i, rt_op op)
{
  double all = 0.0;
  for (int r = 0; r < size; r++) {
    const double x = type == RT_F32 ? (double)(float)value(r, i) : value(r, i);
    if (r == 0)
      all = x;
    else if (op == RT_SUM)
      all = type == RT_F32 ? (double)(float)(all + x) : all + x;
    else
      all = op == RT_MAX ? fmax(all, x) : fmin(all, x);
  }
  return all;
}

/** Equal to the serial result: in every bit, or to rounding; and the same bits
 *  on every rank. */
static void check(const scene *s, const rt_view *v, rt_op op, bool exact)
{
  const double tol = v->dtype == RT_F32 ? 1e-6 : 1e-15;
  size_t n_bad = 0;
  for (size_t i = 0; i < rt_view_size(v); i++) {
    const double want = serial(v->dtype, s->size, i, op), got = get(v, i);
    // of numbers up to 1000
    n_bad += exact ? got != want : fabs(got - want) > tol * 4000.0;
  }
  CU_ASSERT_EQUAL(n_bad, 0);
  const size_t bytes = rt_view_bytes(v);
  char *first = malloc(bytes + 1);
  CU_ASSERT_PTR_NOT_NULL_FATAL(first);
  memcpy(first, v->data, bytes);
  MPI_Bcast(first, (int)bytes, MPI_BYTE, 0, MPI_COMM_WORLD);
  CU_ASSERT_EQUAL(memcmp(first, v->data, bytes), 0);
  free(first);
}

static void all_reduces(bool shared)
{
  // around cache lines, chunks (65536 f32) and the ring of chunks
  const size_t sizes[] = {0,  1,     2,     15,    16,     17,
                          65, 65535, 65536, 65537, 600001, 1200000};
  scene s;
  start(&s, "cpu", shared);
  for (size_t k = 0; k < sizeof sizes / sizeof sizes[0]; k++)
    for (int op = RT_SUM; op <= RT_MIN; op++)
      for (int f64 = 0; f64 < 2; f64++) {
        const rt_view v = make(f64 ? RT_F64 : RT_F32, sizes[k], s.rank);
        RT_OKAY(rt_comm_allreduce(s.world, s.dev, v, (rt_op)op));
        check(&s, &v, (rt_op)op, shared || s.size <= 2 || op != RT_SUM);
        free(v.data);
      }
  finish(&s);
}

static void test_all_reduce_shared(void)
{
  all_reduces(true);
}

static void test_all_reduce_mpi(void)
{
  all_reduces(false);
}

static void test_shared_is_used(void)
{
  scene s;
  start(&s, "cpu", true);
  rt_shm *shm;
  RT_OKAY(rt_comm_shm(s.world, &shm));
  CU_ASSERT_PTR_NOT_NULL(shm); // the tests' ranks are on one node
  finish(&s);
}

static void test_refused(void)
{
  scene s;
  start(&s, "cpu", true);
  double x[6] = {0};
  if (s.size > 1) {
    RT_FAILS(rt_comm_allreduce(s.world, s.dev, (rt_view){x, RT_F64, 2, 2, 3},
                               RT_SUM),
             RT_ERR_INTERNAL, "contiguous");
    RT_FAILS(
        rt_comm_allreduce(s.world, s.dev, rt_view_of(x, RT_BF16, 1, 4), RT_SUM),
        RT_ERR_INTERNAL, "not bf16");
    RT_FAILS(rt_comm_bcast(s.world, x, 8, 99), RT_ERR_INTERNAL, "MPI_Bcast");
    CU_ASSERT_PTR_NOT_NULL(strcasestr(rt_err_text(), "root")); // MPI says
  }
  finish(&s);
}

/** Ranks that enter with different sizes or types must not hang. */
static void test_mismatch(void)
{
  for (int kind = 0; kind < 3; kind++) {
    scene s;
    start(&s, "cpu", true);
    const bool last = s.rank == s.size - 1 && s.size > 1;
    const size_t n = 100000;
    double *x = calloc(n, sizeof *x);
    size_t bytes_of[4] = {n, n, n, n};
    CU_ASSERT_PTR_NOT_NULL_FATAL(x);
    rt_view v = rt_view_of(x, RT_F64, 1, (int64_t)n);
    rt_err err;
    if (kind == 0) // another length, a multiple of chunks apart
      v.cols = v.ld = last ? 1 : v.cols;
    else if (kind == 1) // the same bytes of another type
      v = last ? rt_view_of(x, RT_F32, 1, 2 * (int64_t)n) : v;
    if (kind == 2 && last)
      err = rt_comm_allgatherv(s.world, (char *)x + n * (size_t)s.rank,
                               bytes_of, x);
    else
      err = rt_comm_allreduce(s.world, s.dev, v, RT_SUM);
    CU_ASSERT_EQUAL(err, s.size > 1 ? RT_ERR_INTERNAL : RT_OK);
    if (s.size > 1)
      CU_ASSERT_PTR_NOT_NULL(strstr(rt_err_text(), "different collectives"));
    free(x);
    finish(&s);
  }
}

/** Three sums are open at once, another goes by in between, and they are
 *  finished in another order. */
static void open_sums(bool shared)
{
  enum { N_OPEN = 3 };
  const size_t n_of[N_OPEN] = {700000, 3, 100000};
  scene s;
  start(&s, "cpu", shared);
  for (int round = 0; round < 3; round++) {
    rt_view v[N_OPEN];
    rt_pending *p[N_OPEN];
    for (int i = 0; i < N_OPEN; i++) {
      v[i] = make(RT_F32, n_of[i], s.rank);
      RT_OKAY(rt_comm_allreduce_start(s.world, s.dev, rt_dev_event(s.dev), v[i],
                                      RT_SUM, &p[i]));
      rt_comm_progress();
    }
    const rt_view between = make(RT_F64, 1000, s.rank);
    RT_OKAY(rt_comm_allreduce(s.world, s.dev, between, RT_SUM));
    check(&s, &between, RT_SUM, shared || s.size <= 2);
    free(between.data);
    for (int i = N_OPEN - 1; i >= 0; i--) {
      RT_OKAY(rt_comm_finish(&p[i]));
      CU_ASSERT_PTR_NULL(p[i]);
      check(&s, &v[i], RT_SUM, shared || s.size <= 2);
      RT_OKAY(rt_comm_finish(&p[i])); // NULL is nothing
      free(v[i].data);
    }
  }
  finish(&s);
}

static void test_open_shared(void)
{
  open_sums(true);
}

static void test_open_mpi(void)
{
  open_sums(false);
}

/** Progress alone completes a sum: by order of events, not by time.  Between
 *  two barriers of MPI every rank has called it once. */
static void progress_moves(bool shared)
{
  enum { MOST = 10000 };
  scene s;
  start(&s, "cpu", shared);
  const size_t n = 300000; // 5 chunks, that is less than the ring
  const rt_view v = make(RT_F32, n, s.rank);
  rt_pending *p;
  RT_OKAY(rt_comm_allreduce_start(s.world, s.dev, rt_dev_event(s.dev), v,
                                  RT_SUM, &p));
  int here = 0, everywhere = s.size == 1;
  for (int i = 0; i < MOST && !everywhere; i++) {
    rt_comm_progress();
    here =
        fabs(get(&v, n - 1) - serial(RT_F32, s.size, n - 1, RT_SUM)) < 1e-2 &&
        fabs(get(&v, 0) - serial(RT_F32, s.size, 0, RT_SUM)) < 1e-2;
    MPI_Allreduce(&here, &everywhere, 1, MPI_INT, MPI_MIN, MPI_COMM_WORLD);
    // three stages, each of which needs the others' one before
    CU_ASSERT_FATAL(!shared || everywhere || i < 5);
  }
  CU_ASSERT(everywhere);
  RT_OKAY(rt_comm_finish(&p));
  check(&s, &v, RT_SUM, shared || s.size <= 2);
  free(v.data);
  finish(&s);
}

static void test_progress(void)
{
  progress_moves(true);
  progress_moves(false);
}

/** Two groups with open sums: a rank that waits for one makes the other
 *  progress. */
static void test_two_groups(void)
{
  scene s;
  start(&s, "cpu", true);
  rt_comm *second;
  RT_OKAY(rt_comm_create(MPI_COMM_WORLD, &second));
  const rt_view a = make(RT_F32, 900000, s.rank);
  const rt_view b = make(RT_F32, 900000, s.rank);
  rt_pending *p, *q;
  RT_OKAY(rt_comm_allreduce_start(s.world, s.dev, rt_dev_event(s.dev), a,
                                  RT_SUM, &p));
  RT_OKAY(rt_comm_allreduce_start(second, s.dev, rt_dev_event(s.dev), b, RT_MAX,
                                  &q));
  if (s.rank % 2 == 0) { // each waits first for what the other leaves for later
    RT_OKAY(rt_comm_finish(&p));
    RT_OKAY(rt_comm_finish(&q));
  } else {
    RT_OKAY(rt_comm_finish(&q));
    RT_OKAY(rt_comm_finish(&p));
  }
  check(&s, &a, RT_SUM, true);
  check(&s, &b, RT_MAX, true);
  free(a.data);
  free(b.data);
  rt_comm_destroy(&second);
  finish(&s);
}

/** A kernel fills x with the rank's number; the sum is started with the event
 *  before it or behind it.  The wrong one gives other numbers under check. */
static void test_missing_wait(void)
{
  for (int late = 0; late < 2; late++)
    for (int lazy = 0; lazy < 2; lazy++) {
      scene s;
      start(&s, lazy ? "check" : "cpu", true);
      const rt_arena_memory m = rt_dev_memory(s.dev);
      const rt_view x = rt_view_of(m.alloc(m.self, 80), RT_F64, 1, 10);
      CU_ASSERT_PTR_NOT_NULL_FATAL(x.data);
      rt_event ready = rt_dev_event(s.dev);
      RT_RUN(s.dev, fill, .y = x, .value = s.rank + 1.0);
      if (late)
        ready = rt_dev_event(s.dev);
      RT_RUN(s.dev, scale, .y = x, .value = 1.0); // nobody waits for this one
      rt_pending *p;
      RT_OKAY(rt_comm_allreduce_start(s.world, s.dev, ready, x, RT_SUM, &p));
      RT_OKAY(rt_comm_finish(&p));
      const double want = s.size * (s.size + 1) / 2.0;
      if (s.size > 1)
        CU_ASSERT_EQUAL(get(&x, 9) == want, late || !lazy);
      RT_OKAY(rt_dev_sync(s.dev));
      // the blocking one waits by itself
      RT_RUN(s.dev, fill, .y = x, .value = s.rank + 1.0);
      RT_OKAY(rt_comm_allreduce(s.world, s.dev, x, RT_SUM));
      RT_OKAY(rt_dev_sync(s.dev));
      CU_ASSERT_EQUAL(get(&x, 9), want);
      m.release(m.self, x.data);
      finish(&s);
    }
}

/** Only work before the event is waited for. */
static void test_start_waits_for_event_only(void)
{
  scene s;
  start(&s, "check", true);
  double x[1] = {1.0}, later[1] = {1.0};
  const rt_event ready = rt_dev_event(s.dev);
  RT_RUN(s.dev, fill, .y = rt_view_of(later, RT_F64, 1, 1), .value = 2.0);
  rt_pending *p;
  RT_OKAY(rt_comm_allreduce_start(s.world, s.dev, ready,
                                  rt_view_of(x, RT_F64, 1, 1), RT_SUM, &p));
  RT_OKAY(rt_comm_finish(&p));
  CU_ASSERT_EQUAL(x[0], s.size);
  CU_ASSERT_EQUAL(later[0], 1.0);
  RT_OKAY(rt_dev_sync(s.dev));
  CU_ASSERT_EQUAL(later[0], 2.0);
  finish(&s);
}

static void test_host(void)
{
  scene s;
  start(&s, "cpu", false);
  const int r = s.rank, z = s.size;
  float f[2500];
  double d[3];
  int32_t i[2];
  uint64_t u = ((uint64_t)1 << 60) + (uint64_t)r;
  for (int k = 0; k < 2500; k++)
    f[k] = (float)(k + r);
  for (int k = 0; k < 3; k++)
    d[k] = r == z - 1 ? NAN : 1.0;
  i[0] = -r;
  i[1] = r;
  // 2500 in three calls of MPI
  RT_OKAY(rt_comm_allreduce_host(s.world, f, 2500, RT_F32, RT_SUM));
  RT_OKAY(rt_comm_allreduce_host(s.world, d, 3, RT_F64, RT_SUM));
  RT_OKAY(rt_comm_allreduce_host(s.world, i, 2, RT_I32, RT_MIN));
  RT_OKAY(rt_comm_allreduce_host(s.world, &u, 1, RT_U64, RT_MAX));
  const float ranks = (float)(z * (z - 1) / 2);
  CU_ASSERT(f[0] == ranks && f[999] == (float)(999 * z) + ranks);
  CU_ASSERT(f[1000] == (float)(1000 * z) + ranks);
  CU_ASSERT(f[2499] == (float)(2499 * z) + ranks);
  CU_ASSERT(isnan(d[0]) && isnan(d[2]));
  CU_ASSERT(i[0] == 1 - z && i[1] == 0);
  CU_ASSERT_EQUAL(u, ((uint64_t)1 << 60) + (uint64_t)z - 1);
  finish(&s);
}

static void test_bcast(void)
{
  scene s;
  start(&s, "cpu", false);
  char text[3001];
  for (int root = 0; root < s.size; root++) {
    memset(text, s.rank == root ? 'a' + root : '?', sizeof text);
    RT_OKAY(rt_comm_bcast(s.world, text, 3000, root));
    CU_ASSERT(text[0] == 'a' + root && text[2999] == 'a' + root);
    CU_ASSERT_EQUAL(text[3000], s.rank == root ? 'a' + root : '?');
  }
  RT_OKAY(rt_comm_bcast(s.world, NULL, 0, 0));
  finish(&s);
}

/** Own lengths, some zero, in place or not: every byte tells rank and place. */
static void gather(const scene *s, const size_t *bytes_of, bool in_place)
{
  size_t total = 0, at = 0, n_bad = 0;
  for (int r = 0; r < s->size; r++) {
    at = r == s->rank ? total : at;
    total += bytes_of[r];
  }
  unsigned char *out = malloc(total + 1), *mine = malloc(total + 1);
  CU_ASSERT_FATAL(out != NULL && mine != NULL);
  memset(out, 0xee, total + 1);
  unsigned char *from = in_place ? out + at : mine;
  for (size_t i = 0; i < bytes_of[s->rank]; i++)
    from[i] = (unsigned char)(i * 31 + i / 251 + (size_t)s->rank * 7);
  RT_OKAY(rt_comm_allgatherv(s->world, from, bytes_of, out));
  at = 0;
  for (int r = 0; r < s->size; r++)
    for (size_t i = 0; i < bytes_of[r]; i++)
      n_bad += out[at++] != (unsigned char)(i * 31 + i / 251 + (size_t)r * 7);
  CU_ASSERT_EQUAL(n_bad, 0);
  CU_ASSERT_EQUAL(out[total], 0xee);
  free(out);
  free(mine);
}

static void test_gathers(void)
{
  const size_t lengths[][4] = {
      {1, 1, 1, 1},
      {0, 5, 0, 3},
      {0, 0, 0, 0},
      {70000, 1, 0, 9999},         // a chunk and less
      {3000001, 10, 0, 2999999},   // more than the ring
      {0, 262144, 524288, 262145}, // whole chunks
  };
  for (int shared = 0; shared < 2; shared++) {
    scene s;
    start(&s, "cpu", shared != 0);
    if (!shared) // in pieces, but not in thousands of them
      rt_comm_limit(s.world, 65536, false);
    for (size_t i = 0; i < sizeof lengths / sizeof lengths[0]; i++) {
      gather(&s, lengths[i], false);
      gather(&s, lengths[i], true);
    }
    const int mine[2] = {s.rank, -s.rank};
    int all[8];
    RT_OKAY(rt_comm_allgather(s.world, mine, sizeof mine, all));
    for (int r = 0; r < s.size; r++)
      CU_ASSERT(all[2 * r] == r && all[2 * r + 1] == -r);
    RT_OKAY(rt_comm_barrier(s.world));
    finish(&s);
  }
}

/** Of equal lengths, more than one call of MPI takes (1000 bytes here): in
 *  place or not. */
static void test_wide_gather(void)
{
  enum { N = 2501 };
  scene s;
  start(&s, "cpu", false);
  unsigned char all[4][N], mine[N];
  for (int in_place = 0; in_place < 2; in_place++) {
    unsigned char *const from = in_place ? all[s.rank] : mine;
    memset(all, 0xee, sizeof all);
    for (int i = 0; i < N; i++)
      from[i] = (unsigned char)(i * 31 + s.rank * 7);
    RT_OKAY(rt_comm_allgather(s.world, from, N, all));
    int n_bad = 0;
    for (int r = 0; r < 4; r++)
      for (int i = 0; i < N; i++)
        n_bad +=
            all[r][i] != (r < s.size ? (unsigned char)(i * 31 + r * 7) : 0xee);
    CU_ASSERT_EQUAL(n_bad, 0);
  }
  finish(&s);
}

/** No rank leaves a barrier before all have entered. */
static void test_barrier(void)
{
  scene s;
  start(&s, "cpu", true);
  if (s.rank == 0)
    usleep(30000);
  double here = MPI_Wtime(), all[4], last = 0.0;
  RT_OKAY(rt_comm_barrier(s.world));
  const double after = MPI_Wtime();
  RT_OKAY(rt_comm_allgather(s.world, &here, sizeof here, all));
  for (int r = 0; r < s.size; r++)
    last = fmax(last, all[r]);
  CU_ASSERT(after >= last); // one node, one clock
  finish(&s);
}

static void test_agree(void)
{
  scene s;
  start(&s, "cpu", true);
  const int last = s.size - 1;
  RT_OKAY(rt_agree(s.world, RT_OK));
  // one fails: all get its code, text and rank
  rt_err err = s.rank == last ? RT_FAIL(RT_ERR_NOINPUT, "no file x") : RT_OK;
  err = rt_agree(s.world, err);
  CU_ASSERT_EQUAL(err, RT_ERR_NOINPUT);
  char host[64] = "", want[128];
  gethostname(host, sizeof host - 1);
  snprintf(want, sizeof want, "rank %d on %s: no file x", last, host);
  CU_ASSERT_STRING_EQUAL(rt_err_text(), s.rank == last ? "no file x" : want);
  if (s.rank == last) // with its own trace
    CU_ASSERT_PTR_NOT_NULL(strstr(rt_err_trace(), "test_comm.c"));
  // all fail, each its own way: the lowest is heard
  err = RT_FAIL(s.rank == 0 ? RT_ERR_DATA : RT_ERR_IO, "from rank %d", s.rank);
  CU_ASSERT_EQUAL(rt_agree(s.world, err), RT_ERR_DATA);
  CU_ASSERT_STRING_EQUAL(rt_err_text(), "from rank 0");
  RT_OKAY(rt_agree(s.world, RT_OK));
  finish(&s);
}

static void test_split(void)
{
  scene s;
  start(&s, "cpu", true);
  rt_comm *part;
  // odd and even ranks, in reverse
  RT_OKAY(rt_comm_split(s.world, s.rank % 2, -s.rank, &part));
  CU_ASSERT_PTR_NOT_NULL_FATAL(part);
  const int n = (s.size + 1 - s.rank % 2) / 2;
  CU_ASSERT_EQUAL(rt_comm_size(part), n);
  CU_ASSERT_EQUAL(rt_comm_rank(part), n - 1 - s.rank / 2);
  double sum = s.rank;
  RT_OKAY(
      rt_comm_allreduce(part, s.dev, rt_view_of(&sum, RT_F64, 1, 1), RT_SUM));
  double want = 0.0;
  for (int r = s.rank % 2; r < s.size; r += 2)
    want += r;
  CU_ASSERT_EQUAL(sum, want);
  rt_comm_destroy(&part);
  // some are left out
  RT_OKAY(rt_comm_split(s.world, s.rank == 0 ? 3 : -1, 0, &part));
  CU_ASSERT_EQUAL(part != NULL, s.rank == 0);
  rt_comm_destroy(&part);
  rt_comm_destroy(&part); // NULL is nothing
  int same;
  MPI_Comm_compare(rt_comm_mpi(s.world), MPI_COMM_WORLD, &same);
  CU_ASSERT_EQUAL(same, MPI_CONGRUENT); // a duplicate
  finish(&s);
}

static void test_account(void)
{
  scene s;
  start(&s, "cpu", true);
  double x = 1.0;
  const rt_view v = rt_view_of(&x, RT_F64, 1, 1);
  // the first one sets up the shared memory
  RT_OKAY(rt_comm_allreduce(s.world, s.dev, v, RT_SUM));
  const uint64_t count = rt_ranks_count();
  const double before = rt_ranks_seconds(), since = MPI_Wtime();
  if (s.rank == 0)
    usleep(20000);
  RT_OKAY(rt_comm_allreduce(s.world, s.dev, v, RT_SUM));
  const double spent = rt_ranks_seconds() - before;
  CU_ASSERT(spent >= 0.0 && spent <= MPI_Wtime() - since);
  CU_ASSERT_EQUAL(rt_ranks_count() - count, s.size > 1);
  if (s.rank == 1)
    CU_ASSERT(spent > 0.0); // it waited for rank 0
  finish(&s);
}

/** Of a rank that waits. */
typedef struct waiting {
  int n_calls;
  double last_s;
} waiting;

static void note_waiting(void *with)
{
  waiting *w = with;
  w->n_calls++;
  w->last_s = rt_now_s();
}

/** The last rank arrives late; no rank leaves before, and waiting ranks call
 *  back. */
static void test_meet(void)
{
  scene s;
  start(&s, "cpu", true);
  waiting w = {0};
  double came_s = 0.0;
  const bool late = s.rank == s.size - 1;
  if (late)
    usleep(1300 * 1000);
  came_s = late ? rt_now_s() : 0.0;
  RT_OKAY(rt_comm_meet(s.world, note_waiting, &w));
  const double left_s = rt_now_s();
  RT_OKAY(rt_comm_allreduce_host(s.world, &came_s, 1, RT_F64, RT_MAX));
  CU_ASSERT_TRUE(left_s >= came_s); // one clock: suites run on one node
  CU_ASSERT_TRUE(w.n_calls <= 3);
  if (!late) {
    CU_ASSERT_TRUE(w.n_calls >= 2); // at once, and after a second
    CU_ASSERT_TRUE(w.last_s <= left_s);
  }
  finish(&s);
}

RT_TEST_MAIN(
    "comm", {"ranks of a node share memory", test_shared_is_used},
    {"all-reduce is the serial sum (shared)", test_all_reduce_shared},
    {"all-reduce is the serial sum (MPI)", test_all_reduce_mpi},
    {"what cannot be summed is refused", test_refused},
    {"ranks that disagree do not hang", test_mismatch},
    {"open sums in any order (shared)", test_open_shared},
    {"open sums in any order (MPI)", test_open_mpi},
    {"progress completes a sum", test_progress},
    {"a wait moves the other group", test_two_groups},
    {"check shows a missing wait", test_missing_wait},
    {"a start waits for its event only", test_start_waits_for_event_only},
    {"host data", test_host}, {"broadcast", test_bcast},
    {"gathers", test_gathers}, {"a gather beyond one call", test_wide_gather},
    {"barrier", test_barrier}, {"a barrier of ranks that come late", test_meet},
    {"one error for all ranks", test_agree}, {"splits", test_split},
    {"time and count", test_account})
