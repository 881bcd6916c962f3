/** \file test_comm_parts.c
 *  Scatters and gathers of rows, by shared memory and by messages.
 *  ranks: 1 2 3 4 */
#include "dev/device_impl.h"
#include "par/comm_queue.h"
#include "support/rt_test.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/** Views as the tensors of a bucket: rows that no number of ranks divides,
 *  fewer rows than ranks, vectors, nothing, and more than all slots hold. */
enum { N_VIEWS = 6 };
static const int64_t shape[N_VIEWS][2] = {{7, 5},  {1, 33},    {1, 1},
                                          {0, 16}, {2, 70001}, {601, 1003}};

typedef struct scene {
  rt_comm *world;
  rt_dev *dev;
  rt_arena *arena;
  int rank, size;
  rt_view view[N_VIEWS];
  rt_parts parts[N_VIEWS];
} scene;

typedef struct scene_spec {
  const char *device;
  rt_dtype type;
  bool shared; // else messages of 64 KiB at most
} scene_spec;

static void start(scene *s, scene_spec how)
{
  RT_OKAY(rt_comm_create(MPI_COMM_WORLD, &s->world));
  RT_OKAY(rt_dev_create(how.device, 1, &s->dev));
  RT_OKAY(rt_arena_create("views", &s->arena));
  s->rank = rt_comm_rank(s->world);
  s->size = rt_comm_size(s->world);
  if (!how.shared)
    rt_comm_only_mpi(s->world, 65536);
  for (int i = 0; i < N_VIEWS; i++) {
    RT_OKAY(rt_arena_reserve(s->arena, "view", how.type, shape[i][0],
                             shape[i][1], &s->view[i]));
    const int64_t each = (shape[i][0] + s->size - 1) / s->size;
    s->parts[i] = (rt_parts){&s->view[i], each > 0 ? each : 1, i % s->size};
  }
  RT_OKAY(rt_arena_commit(s->arena, rt_dev_memory(s->dev)));
}

static void finish(scene *s)
{
  rt_comm_forget(s->dev);
  rt_arena_destroy(&s->arena);
  rt_dev_destroy(&s->dev);
  rt_comm_destroy(&s->world);
}

/** Element \a e of view \a i of rank \a r: signs and sizes mixed, so that the
 *  order of a sum matters. */
static double value(int r, int i, size_t e)
{
  static const double size[] = {1e-3, 1.0, 30.0, 0.1, 1000.0, 7.0, 0.02};
  const uint32_t bits =
      (uint32_t)(e * 2654435761u + (size_t)r * 40503u + (size_t)i * 97u) ^
      (uint32_t)(e >> 5);
  return ((double)bits / 0x1p31 - 1.0) * size[(e + (size_t)r) % 7];
}

/** What ranks 0 .. size - 1 give, added in this order in the type. */
static double serial(rt_dtype type, int size, int i, size_t e)
{
  double all = 0.0;
  for (int r = 0; r < size; r++) {
    const double x =
        type == RT_F32 ? (double)(float)value(r, i, e) : value(r, i, e);
    all = r == 0           ? x
          : type == RT_F32 ? (double)((float)all + (float)x)
                           : all + x;
  }
  return all;
}

static void put(const scene *s, int i)
{
  const size_t n = rt_view_size(&s->view[i]);
  double *x = calloc(n + 1, sizeof *x), *raw = calloc(n + 1, sizeof *x);
  CU_ASSERT_FATAL(x != NULL && raw != NULL);
  for (size_t e = 0; e < n; e++)
    x[e] = value(s->rank, i, e);
  rt_dtype_convert(raw, s->view[i].dtype, x, RT_F64, n);
  if (n > 0)
    RT_OKAY(rt_dev_put(s->dev, s->view[i], raw));
  free(x);
  free(raw);
}

/** Which rank has row \a row of view \a i. */
static int owner(const scene *s, int i, int64_t row)
{
  for (int r = 0; r < s->size; r++) {
    int64_t row0, n;
    rt_parts_rows(&s->parts[i], s->size, r, &row0, &n);
    if (row >= row0 && row < row0 + n)
      return r;
  }
  return -1;
}

/** After a scatter: own rows are sums in every bit, others as they were.
 *  After a gather of these: all rows are sums. */
static int n_wrong(const scene *s, int i, bool gathered)
{
  const rt_view v = s->view[i];
  const size_t n = rt_view_size(&v);
  double *x = calloc(n + 1, sizeof *x), *raw = calloc(n + 1, sizeof *x);
  CU_ASSERT_FATAL(x != NULL && raw != NULL);
  if (n > 0)
    RT_OKAY(rt_dev_get(s->dev, raw, v));
  rt_dtype_convert(x, RT_F64, raw, v.dtype, n);
  int n_bad = 0;
  for (size_t e = 0; e < n; e++) {
    const int who = owner(s, i, (int64_t)e / v.cols);
    const double mine = v.dtype == RT_F32 ? (double)(float)value(s->rank, i, e)
                                          : value(s->rank, i, e);
    n_bad +=
        x[e] !=
        (gathered || who == s->rank ? serial(v.dtype, s->size, i, e) : mine);
  }
  free(x);
  free(raw);
  return n_bad;
}

static size_t all_bytes(const scene *s)
{
  size_t bytes = 0;
  for (int i = 0; i < N_VIEWS; i++)
    bytes += rt_view_bytes(&s->view[i]);
  return bytes;
}

/** Scatter all views in two groups that are open at once, then gather them.  A
 *  sum goes by in between. */
static void there_and_back(scene_spec how)
{
  scene s;
  start(&s, how);
  rt_pending *p[2];
  for (int i = 0; i < N_VIEWS; i++)
    put(&s, i);
  for (int back = 0; back < 2; back++) {
    for (int k = 0; k < 2; k++)
      RT_OKAY((back ? rt_comm_gather_start : rt_comm_scatter_start)(
          s.world, s.dev, rt_dev_event(s.dev, RT_QUEUE_COMPUTE),
          s.parts + 3 * k, 3, &p[k]));
    double one = 1.0;
    RT_OKAY(rt_comm_allreduce(s.world, s.dev, rt_view_of(&one, RT_F64, 1, 1),
                              RT_SUM));
    for (int k = 1; k >= 0; k--)
      RT_OKAY(rt_comm_join(&p[k]));
    RT_OKAY(rt_comm_join(&p[0])); // NULL is nothing
    RT_OKAY(rt_dev_sync(s.dev));
    CU_ASSERT_EQUAL(one, s.size);
    for (int i = 0; i < N_VIEWS; i++)
      CU_ASSERT_EQUAL(n_wrong(&s, i, back != 0), 0);
  }
  // each byte has crossed the least number of times, over all ranks
  uint64_t sent = rt_comm_sent(s.world);
  RT_OKAY(rt_comm_allreduce_host(s.world, &sent, 1, RT_U64, RT_MAX));
  const double least = 2.0 * (s.size - 1.0) / s.size * (double)all_bytes(&s);
  double all = (double)rt_comm_sent(s.world);
  RT_OKAY(rt_comm_allreduce_host(s.world, &all, 1, RT_F64, RT_SUM));
  CU_ASSERT_EQUAL(all, 2.0 * (s.size - 1.0) * (double)all_bytes(&s));
  // a rank may have a larger share: a row more of each view
  CU_ASSERT((double)sent <= least * 1.35);
  if (s.size == 2)
    CU_ASSERT_EQUAL((double)sent, least);
  finish(&s);
}

static void test_there_and_back(void)
{
  for (int shared = 0; shared < 2; shared++) {
    there_and_back((scene_spec){"cpu", RT_F32, shared != 0});
    there_and_back((scene_spec){"cpu", RT_F64, shared != 0});
    there_and_back((scene_spec){"check", RT_F32, shared != 0});
  }
}

/** Progress alone completes an exchange: by order of events, not by time.
 *  Between two barriers of MPI every rank has called it once. */
static void progress_moves(bool shared)
{
  enum { MOST = 10000 };
  scene s;
  start(&s, (scene_spec){"cpu", RT_F32, shared});
  const int i = 4; // fewer chunks than slots
  int everywhere = 0;
  rt_pending *p;
  put(&s, i);
  RT_OKAY(rt_comm_scatter_start(s.world, s.dev,
                                rt_dev_event(s.dev, RT_QUEUE_COMPUTE),
                                s.parts + i, 1, &p));
  for (int turn = 0; turn < MOST && !everywhere; turn++) {
    rt_comm_progress();
    const int here = n_wrong(&s, i, false) == 0;
    MPI_Allreduce(&here, &everywhere, 1, MPI_INT, MPI_MIN, MPI_COMM_WORLD);
    // three stages, each of which needs the others' one before
    CU_ASSERT_FATAL(!shared || everywhere || turn < 5);
  }
  CU_ASSERT(everywhere);
  RT_OKAY(rt_comm_join(&p));
  finish(&s);
}

static void test_progress(void)
{
  progress_moves(true);
  progress_moves(false);
}

/** With the event before a kernel instead of behind it, the exchange takes what
 *  was there before: the deferring device shows it. */
static void test_missing_wait(void)
{
  for (int late = 0; late < 2; late++) {
    scene s;
    start(&s, (scene_spec){"check", RT_F64, true});
    s.dev->kernels_last = true;
    const rt_event before = rt_dev_event(s.dev, RT_QUEUE_COMPUTE);
    put(&s, 0);
    rt_pending *p;
    RT_OKAY(rt_comm_scatter_start(
        s.world, s.dev, late ? rt_dev_event(s.dev, RT_QUEUE_COMPUTE) : before,
        s.parts, 1, &p));
    RT_OKAY(rt_comm_join(&p));
    int wrong = n_wrong(&s, 0, false);
    RT_OKAY(rt_comm_allreduce_host(s.world, &wrong, 1, RT_I32, RT_SUM));
    CU_ASSERT_EQUAL(wrong == 0, late || s.size == 1);
    finish(&s);
  }
}

/** Two communicators with open exchanges: a rank that waits for one makes the
 *  other progress. */
static void test_two_groups(void)
{
  const int i[2] = {4, 5};
  scene s;
  start(&s, (scene_spec){"cpu", RT_F32, true});
  rt_comm *second;
  rt_pending *p[2];
  RT_OKAY(rt_comm_create(MPI_COMM_WORLD, &second));
  for (int k = 0; k < 2; k++) {
    put(&s, i[k]);
    RT_OKAY(rt_comm_scatter_start(k == 0 ? s.world : second, s.dev,
                                  rt_dev_event(s.dev, RT_QUEUE_COMPUTE),
                                  s.parts + i[k], 1, &p[k]));
  }
  // each waits first for what the other leaves for later
  RT_OKAY(rt_comm_join(&p[s.rank % 2]));
  RT_OKAY(rt_comm_join(&p[1 - s.rank % 2]));
  CU_ASSERT(n_wrong(&s, i[0], false) == 0 && n_wrong(&s, i[1], false) == 0);
  rt_comm_destroy(&second);
  finish(&s);
}

/** An exchange waits only for work before its event. */
static void test_waits_for_event_only(void)
{
  scene s;
  double later[1] = {1.0};
  rt_pending *p;
  start(&s, (scene_spec){"check", RT_F64, true});
  put(&s, 0);
  const rt_event ready = rt_dev_event(s.dev, RT_QUEUE_COMPUTE);
  RT_RUN(s.dev, fill, .y = rt_view_of(later, RT_F64, 1, 1), .value = 2.0);
  s.dev->kernels_last = true;
  RT_OKAY(rt_comm_scatter_start(s.world, s.dev, ready, s.parts, 1, &p));
  RT_OKAY(rt_dev_event_wait(s.dev, rt_dev_event(s.dev, RT_QUEUE_COMM)));
  CU_ASSERT_EQUAL(later[0], 1.0);
  RT_OKAY(rt_comm_join(&p));
  CU_ASSERT_EQUAL(n_wrong(&s, 0, false), 0);
  CU_ASSERT_EQUAL(later[0], 2.0);
  finish(&s);
}

/** An exchange that fails in the queue is told by the collective of the host
 *  that comes next, which waits for nobody, and by an agreement. */
static void test_failed_in_queue(void)
{
  for (int agrees = 0; agrees < 2; agrees++) {
    scene s;
    start(&s, (scene_spec){"check", RT_F32, true});
    rt_pending *p = NULL;
    put(&s, 0);
    RT_OKAY((s.rank == 0 ? rt_comm_scatter_start : rt_comm_gather_start)(
        s.world, s.dev, rt_dev_event(s.dev, RT_QUEUE_COMPUTE), s.parts, 1, &p));
    RT_OKAY(rt_comm_join(&p));
    const rt_err err =
        agrees ? rt_agree(s.world, RT_OK) : rt_comm_barrier(s.world);
    CU_ASSERT_EQUAL(err, s.size > 1 ? RT_ERR_INTERNAL : RT_OK);
    if (s.size > 1)
      CU_ASSERT_PTR_NOT_NULL(strstr(rt_err_text(), "different collectives"));
    finish(&s);
  }
}

/** Pinned memory that is in use. */
static int n_pinned;

static void *pin(rt_dev *dev, size_t bytes)
{
  n_pinned++;
  return rt_dev_check_backend.pin(dev, bytes);
}

static void unpin(rt_dev *dev, void *data)
{
  n_pinned--;
  rt_dev_check_backend.unpin(dev, data);
}

/** An exchange that is given up before its join is given back once its stage is
 *  over, or lost; nothing of a device is kept for later. */
static void test_nothing_kept(void)
{
  for (int runs = 0; runs < 2; runs++) {
    scene s;
    rt_pending *p = NULL;
    start(&s, (scene_spec){"check", RT_F32, true});
    rt_dev_backend counting = rt_dev_check_backend;
    counting.pin = pin;
    counting.unpin = unpin;
    s.dev->backend = &counting;
    put(&s, 0);
    RT_OKAY(rt_comm_scatter_start(
        s.world, s.dev, rt_dev_event(s.dev, RT_QUEUE_COMPUTE), s.parts, 1, &p));
    CU_ASSERT_EQUAL(n_pinned, s.size > 1);
    rt_comm_give_up(&p);
    if (runs)
      RT_OKAY(rt_dev_sync(s.dev));
    rt_comm_forget(s.dev);
    CU_ASSERT_EQUAL(n_pinned, 0);
    finish(&s);
  }
}

static void *pin_nothing(rt_dev *dev, size_t bytes)
{
  (void)dev, (void)bytes;
  return NULL;
}

/** An operation that lacks memory before it is queued is given back, and is the
 *  one that the next call takes. */
static void test_no_memory(void)
{
  scene s;
  rt_pending *first = NULL, *again = NULL, *p = NULL;
  start(&s, (scene_spec){"check", RT_F32, true});
  rt_dev_backend poor = rt_dev_check_backend;
  poor.pin = pin_nothing;
  s.dev->backend = &poor;
  put(&s, 0);
  const rt_event now = rt_dev_event(s.dev, RT_QUEUE_COMPUTE);
  const rt_view rows = rt_view_of(s.parts[0].view->data, RT_F32, s.size, 1);
  const rt_err want = s.size > 1 ? RT_ERR_MEM : RT_OK;
  RT_OKAY(rt_pending_take(RT_ROWS, s.world, s.dev, &first));
  rt_pending_give_back(first);
  CU_ASSERT_EQUAL(rt_comm_allreduce(s.world, s.dev, rows, RT_SUM), want);
  CU_ASSERT_EQUAL(rt_comm_gather(s.world, s.dev, rows), want);
  CU_ASSERT_EQUAL(rt_comm_scatter_start(s.world, s.dev, now, s.parts, 1, &p),
                  want);
  CU_ASSERT_PTR_NULL(p);
  CU_ASSERT_EQUAL(rt_comm_gather_start(s.world, s.dev, now, s.parts, 1, &p),
                  want);
  CU_ASSERT_PTR_NULL(p);
  RT_OKAY(rt_pending_take(RT_ROWS, s.world, s.dev, &again));
  CU_ASSERT_PTR_EQUAL(again, first);
  rt_pending_give_back(again);
  finish(&s);
}

/** Ranks that enter different exchanges must not hang, nor one that gives up
 *  another's. */
static void test_errors(void)
{
  scene s;
  start(&s, (scene_spec){"cpu", RT_F32, true});
  rt_pending *p = NULL;
  put(&s, 0);
  if (s.size > 1) {
    RT_OKAY((s.rank == 0 ? rt_comm_scatter_start : rt_comm_gather_start)(
        s.world, s.dev, rt_dev_event(s.dev, RT_QUEUE_COMPUTE), s.parts, 1, &p));
    RT_FAILS(rt_comm_join(&p), RT_ERR_INTERNAL, "different collectives");
    s.view[0].ld++;
    RT_FAILS(rt_comm_scatter_start(s.world, s.dev,
                                   rt_dev_event(s.dev, RT_QUEUE_COMPUTE),
                                   s.parts, 1, &p),
             RT_ERR_INTERNAL, "contiguous");
  }
  finish(&s);
  start(&s, (scene_spec){"cpu", RT_F32, true});
  put(&s, 0);
  RT_OKAY(rt_comm_scatter_start(
      s.world, s.dev, rt_dev_event(s.dev, RT_QUEUE_COMPUTE), s.parts, 1, &p));
  rt_comm_give_up(&p);
  CU_ASSERT_PTR_NULL(p);
  rt_comm_progress();
  if (s.size > 1) {
    RT_OKAY(rt_comm_scatter_start(
        s.world, s.dev, rt_dev_event(s.dev, RT_QUEUE_COMPUTE), s.parts, 1, &p));
    RT_FAILS(rt_comm_join(&p), RT_ERR_INTERNAL, "given up");
  }
  finish(&s);
}

/** The first part belongs to rank `first`, the next one to its successor, and
 *  together they are all rows. */
static void test_rows(void)
{
  for (int size = 1; size <= 5; size++)
    for (int64_t rows = 0; rows <= 11; rows++)
      for (int first = 0; first < size; first++) {
        const rt_view v = rt_view_of(NULL, RT_F32, rows, 3);
        const rt_parts parts = {&v, (rows + size) / size, first};
        int64_t at = 0, row0, n;
        for (int i = 0; i < size; i++, at += n) {
          rt_parts_rows(&parts, size, (first + i) % size, &row0, &n);
          CU_ASSERT(row0 == at && n >= 0 && n <= parts.each);
        }
        CU_ASSERT_EQUAL(at, rows);
      }
}

RT_TEST_MAIN("comm_parts", {"whose rows", test_rows},
             {"sums of own rows, then all rows", test_there_and_back},
             {"progress completes an exchange", test_progress},
             {"check shows a missing wait", test_missing_wait},
             {"a wait moves the other group", test_two_groups},
             {"a start waits for its event only", test_waits_for_event_only},
             {"ranks that disagree do not hang", test_errors},
             {"an error in the queue is told", test_failed_in_queue},
             {"nothing of a device is kept", test_nothing_kept},
             {"no memory", test_no_memory})
