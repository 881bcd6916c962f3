/** \file test_device.c
 *  Memory, queues and events of the CPU devices.
 *  ranks: 1 */
#include "dev/device_impl.h"
#include "support/rt_test.h"

#include <math.h>
#include <stdint.h>
#include <string.h>
#include <sys/resource.h>

enum { N = 6 };

/** A device with two ranges of N f32. */
typedef struct scene {
  rt_dev *dev;
  rt_arena *arena;
  rt_view x, y;
} scene;

/** A table that sumsq refuses. */
static rt_view outside(void)
{
  static k_segment all = {.n = N + 1};
  return rt_view_of(&all, RT_F64, 1, K_N_SEGMENT);
}

static void start(scene *s, const char *kind)
{
  RT_OKAY(rt_dev_create(kind, 1, &s->dev));
  RT_PLAN(s->dev, sumsq, .segments = outside());
  RT_OKAY(rt_arena_create("test", &s->arena));
  RT_OKAY(rt_arena_reserve(s->arena, "x", RT_F32, 1, N, &s->x));
  RT_OKAY(rt_arena_reserve(s->arena, "y", RT_F32, 1, N, &s->y));
  RT_OKAY(rt_arena_commit(s->arena, rt_dev_memory(s->dev)));
}

static void finish(scene *s)
{
  rt_arena_destroy(&s->arena);
  rt_dev_destroy(&s->dev);
  CU_ASSERT_PTR_NULL(s->dev);
}

/** Is every element equal to \a want now, without any wait? */
static bool now(rt_view v, float want)
{
  const float *x = v.data;
  for (size_t i = 0; i < rt_view_size(&v); i++)
    if (isnan(want) ? !isnan(x[i]) : x[i] != want)
      return false;
  return true;
}

static void test_create(void)
{
  rt_dev *dev;
  RT_FAILS(rt_dev_create("cuda", 1, &dev), RT_ERR_CONFIG, "run.device is cuda");
  rt_dev_destroy(&dev);
  RT_OKAY(rt_dev_create("check", 3, &dev));
  CU_ASSERT_STRING_EQUAL(rt_dev_name(dev), "check");
  CU_ASSERT_FALSE(rt_dev_on_host(dev));
  rt_dev_destroy(&dev);
}

static void test_memory(void)
{
  rt_dev *dev;
  RT_OKAY(rt_dev_create("check", 1, &dev));
  const rt_arena_memory m = rt_dev_memory(dev);
  unsigned char *small = m.alloc(m.self, 100);
  unsigned char *large = m.alloc(m.self, (5u << 20) + 1);
  CU_ASSERT_FATAL(small != NULL && large != NULL);
  CU_ASSERT_EQUAL((uintptr_t)small % 64, 0);
  CU_ASSERT_EQUAL((uintptr_t)large % (2u << 20), 0); // huge pages fit
  CU_ASSERT(small[0] == 0xff && small[99] == 0xff);
  CU_ASSERT(large[0] == 0xff && large[5u << 20] == 0xff);
  m.release(m.self, small);
  m.release(m.self, large);
  rt_dev_destroy(&dev);
}

static void test_cpu_runs_at_once(void)
{
  scene s;
  start(&s, "cpu");
  CU_ASSERT(rt_dev_on_host(s.dev));
  RT_RUN(s.dev, fill, .y = s.x, .value = 2.0);
  CU_ASSERT(now(s.x, 2.0f));
  RT_RUN(s.dev, add, .x = s.x, .y = s.x);
  RT_OKAY(rt_dev_sync(s.dev));
  CU_ASSERT(now(s.x, 4.0f));
  finish(&s);
}

static void test_lazy(void)
{
  scene s;
  start(&s, "check");
  k_fill_args args = {.y = s.x, .value = 2.0};
  rt_launch(s.dev, K_fill, &args);
  args.value = 3.0; // the launch has its own copy
  CU_ASSERT(now(s.x, NAN));
  const rt_event one = rt_dev_event(s.dev, RT_QUEUE_COMPUTE);
  RT_RUN(s.dev, copy, .x = s.x, .y = s.y);
  RT_RUN(s.dev, add, .x = s.y, .y = s.x);
  RT_OKAY(rt_dev_event_wait(s.dev, (rt_event){0})); // 0: nothing to wait for
  CU_ASSERT(now(s.x, NAN));
  RT_OKAY(rt_dev_event_wait(s.dev, one)); // just the first
  CU_ASSERT(now(s.x, 2.0f));
  CU_ASSERT(now(s.y, NAN));
  RT_OKAY(rt_dev_sync(s.dev));
  CU_ASSERT(now(s.x, 4.0f));
  CU_ASSERT(now(s.y, 2.0f));
  RT_OKAY(rt_dev_event_wait(s.dev, one)); // long done
  finish(&s);
}

/** More launches than the queue's initial capacity, waited for in parts. */
static void test_many(void)
{
  scene s;
  start(&s, "check");
  rt_event at[1000];
  RT_RUN(s.dev, fill, .y = s.x, .value = 1.0);
  RT_RUN(s.dev, fill, .y = s.y, .value = 0.0);
  for (int i = 0; i < 1000; i++) {
    RT_RUN(s.dev, add, .x = s.x, .y = s.y);
    at[i] = rt_dev_event(s.dev, RT_QUEUE_COMPUTE);
  }
  for (int i = 99; i < 1000; i += 300) {
    RT_OKAY(rt_dev_event_wait(s.dev, at[i]));
    CU_ASSERT(now(s.y, (float)(i + 1)));
  }
  finish(&s);
}

/** Copies keep their order in the queue, and read the host's bytes at once. */
static void copies(const char *kind)
{
  scene s;
  float host[N] = {1, 1, 1, 1, 1, 1}, got[N];
  start(&s, kind);
  RT_OKAY(rt_dev_put(s.dev, s.x, host));
  for (int i = 0; i < N; i++)
    host[i] = 5.0f;
  RT_RUN(s.dev, copy, .x = s.x, .y = s.y);
  RT_OKAY(rt_dev_put(s.dev, s.x, host));
  host[0] = 7.0f;
  RT_OKAY(rt_dev_get(s.dev, got, s.y));
  CU_ASSERT(got[0] == 1.0f && got[N - 1] == 1.0f);
  RT_OKAY(rt_dev_get(s.dev, got, s.x));
  CU_ASSERT(got[0] == 5.0f && got[N - 1] == 5.0f);
  RT_OKAY(rt_dev_put(s.dev, s.x, host)); // open when the device goes
  finish(&s);
}

static void test_copies(void)
{
  copies("cpu");
  copies("check");
}

/** A host that reads without waiting gets another number, but only with check:
 *  this is the purpose of that device. */
static void test_missing_wait(void)
{
  for (int lazy = 0; lazy < 2; lazy++) {
    scene s;
    const float host[N] = {3, 3, 3, 3, 3, 3};
    start(&s, lazy ? "check" : "cpu");
    RT_OKAY(rt_dev_put(s.dev, s.x, host));
    RT_RUN(s.dev, scale, .y = s.x, .value = 2.0);
    CU_ASSERT_EQUAL(now(s.x, 6.0f), !lazy);
    RT_OKAY(rt_dev_sync(s.dev));
    CU_ASSERT(now(s.x, 6.0f));
    finish(&s);
  }
}

/** sumsq rejects segments outside of a view and writes nothing, so its output
 *  shows what the device put there. */
static void refused(const scene *s, rt_view out)
{
  RT_RUN(s->dev, sumsq, .x = s->x, .segments = outside(), .out = out);
  RT_FAILS(rt_dev_sync(s->dev), RT_ERR_INTERNAL, "kernel sumsq: ");
}

static void test_poison(void)
{
  for (int lazy = 0; lazy < 2; lazy++) {
    scene s;
    start(&s, lazy ? "check" : "cpu");
    RT_RUN(s.dev, fill, .y = s.x, .value = 1.0);
    RT_RUN(s.dev, fill, .y = s.y, .value = 1.0);
    refused(&s, rt_view_of(s.y.data, RT_F64, 1, 1));
    CU_ASSERT_EQUAL(isnan(((float *)s.y.data)[0]), lazy);
    CU_ASSERT_EQUAL(isnan(((float *)s.y.data)[1]), lazy);
    CU_ASSERT_EQUAL(((float *)s.y.data)[2], 1.0f); // beyond the output
    // an output that shares memory with an input must keep it
    refused(&s, rt_view_of((float *)s.x.data + 2, RT_F64, 1, 1));
    CU_ASSERT(now(s.x, 1.0f));
    finish(&s);
  }
}

/** Whoever stops the host is counted; who only adds to the queue is not. */
static void test_host_waits(void)
{
  for (int lazy = 0; lazy < 2; lazy++) {
    scene s;
    float host[N] = {0};
    start(&s, lazy ? "check" : "cpu");
    RT_OKAY(rt_dev_put(s.dev, s.x, host));
    RT_RUN(s.dev, fill, .y = s.y, .value = 1.0);
    const rt_event event = rt_dev_event(s.dev, RT_QUEUE_COMPUTE);
    CU_ASSERT_EQUAL(rt_dev_host_waits(s.dev), 0);
    RT_OKAY(rt_dev_event_wait(s.dev, event));
    RT_OKAY(rt_dev_get(s.dev, host, s.x));
    RT_OKAY(rt_dev_sync(s.dev));
    CU_ASSERT_EQUAL(rt_dev_host_waits(s.dev), 3);
    RT_RUN(s.dev, fill, .y = s.y, .value = 2.0);
    const rt_event older = rt_dev_event(s.dev, RT_QUEUE_COMPUTE);
    RT_RUN(s.dev, fill, .y = s.y, .value = 3.0);
    RT_OKAY(rt_dev_event_wait(s.dev, older)); // the device has more to do
    CU_ASSERT_EQUAL(rt_dev_host_waits(s.dev), 3);
    CU_ASSERT(now(s.y, lazy ? 2.0f : 3.0f));
    finish(&s);
  }
}

/** A copy to the host stands in the queue: it takes what kernels before it have
 *  written, not those after it, and nothing is there before a wait. */
static void test_get_start(void)
{
  for (int lazy = 0; lazy < 2; lazy++) {
    scene s;
    start(&s, lazy ? "check" : "cpu");
    CU_ASSERT_EQUAL(rt_dev_at_once(s.dev), !lazy);
    float *const got = rt_dev_pin(s.dev, N * sizeof *got);
    CU_ASSERT_PTR_NOT_NULL_FATAL(got);
    RT_RUN(s.dev, fill, .y = s.x, .value = 2.0);
    rt_dev_get_start(s.dev, RT_QUEUE_COMPUTE, got, s.x);
    const rt_event copied = rt_dev_event(s.dev, RT_QUEUE_COMPUTE);
    RT_RUN(s.dev, fill, .y = s.x, .value = 4.0);
    CU_ASSERT(lazy ? isnan(got[0]) && isnan(got[N - 1]) : got[0] == 2.0f);
    RT_OKAY(rt_dev_event_wait(s.dev, copied));
    CU_ASSERT(got[0] == 2.0f && got[N - 1] == 2.0f);
    CU_ASSERT_EQUAL(rt_dev_host_waits(s.dev), 0);
    rt_dev_get_start(s.dev, RT_QUEUE_COMPUTE, got, s.x);
    CU_ASSERT_EQUAL(isnan(got[0]), lazy); // the old numbers are gone
    RT_OKAY(rt_dev_sync(s.dev));
    CU_ASSERT_EQUAL(got[0], 4.0f);
    rt_dev_unpin(s.dev, got);
    finish(&s);
  }
}

/** What calls in a queue have seen. */
typedef struct seen {
  rt_view x;
  float at_call;
  int n_turns, n_lost;
} seen;

static rt_err look(void *with, rt_turn turn)
{
  seen *s = with;
  s->n_turns += turn == RT_TURN;
  s->n_lost += turn == RT_TURN_LOST;
  if (turn == RT_TURN)
    s->at_call = ((const float *)s->x.data)[0];
  return RT_OK;
}

static rt_err refuse_call(void *with, rt_turn turn)
{
  (void)with;
  (void)turn;
  return RT_FAIL(RT_ERR_IO, "a call was refused");
}

/** A call of another queue comes after the event it waits for, and kernels that
 *  wait for it behind it; without that wait, before it. */
static void test_queues(void)
{
  for (int lazy = 0; lazy < 2; lazy++)
    for (int waits = 0; waits < 2; waits++) {
      scene s;
      start(&s, lazy ? "check" : "cpu");
      seen got = {.x = s.x};
      RT_RUN(s.dev, fill, .y = s.x, .value = 1.0);
      rt_dev_wait(s.dev, RT_QUEUE_COMM, rt_dev_event(s.dev, RT_QUEUE_COMPUTE));
      rt_dev_call(s.dev, RT_QUEUE_COMM, look, &got);
      if (waits)
        rt_dev_wait(s.dev, RT_QUEUE_COMPUTE,
                    rt_dev_event(s.dev, RT_QUEUE_COMM));
      RT_RUN(s.dev, fill, .y = s.x, .value = 2.0);
      CU_ASSERT_EQUAL(rt_dev_host_waits(s.dev), 0);
      CU_ASSERT_EQUAL(got.n_turns, !lazy);
      RT_OKAY(rt_dev_sync(s.dev));
      CU_ASSERT_EQUAL(got.at_call, lazy && !waits ? 2.0f : 1.0f);
      CU_ASSERT(got.n_turns == 1 && now(s.x, 2.0f));
      finish(&s);
    }
}

/** The error of a call is told by the next wait, once; a push leaves it; a call
 *  that is not reached is told so when the device goes. */
static void test_calls_fail(void)
{
  for (int lazy = 0; lazy < 2; lazy++) {
    scene s;
    start(&s, lazy ? "check" : "cpu");
    seen got = {.x = s.x};
    rt_dev_call(s.dev, RT_QUEUE_COMM, refuse_call, NULL);
    if (lazy)
      RT_OKAY(rt_dev_error(s.dev)); // not called yet
    CU_ASSERT_EQUAL(rt_dev_push(s.dev, rt_dev_event(s.dev, RT_QUEUE_COMM)),
                    !lazy);
    CU_ASSERT_EQUAL(rt_dev_host_waits(s.dev), 0);
    RT_FAILS(rt_dev_error(s.dev), RT_ERR_IO, "a call was refused");
    RT_OKAY(rt_dev_sync(s.dev));
    rt_dev_call(s.dev, RT_QUEUE_COMM, look, &got);
    finish(&s);
    CU_ASSERT(got.n_turns == !lazy && got.n_lost == lazy);
  }
}

/** What is dropped is not done, calls are told so, and the queues go on. */
static void test_drop(void)
{
  for (int lazy = 0; lazy < 2; lazy++) {
    scene s;
    start(&s, lazy ? "check" : "cpu");
    seen got = {.x = s.x};
    const float one[N] = {1, 1, 1, 1, 1, 1};
    RT_OKAY(rt_dev_put(s.dev, s.x, one));
    RT_OKAY(rt_dev_sync(s.dev));
    RT_RUN(s.dev, fill, .y = s.x, .value = 2.0);
    RT_OKAY(rt_dev_put(s.dev, s.y, one));
    rt_dev_wait(s.dev, RT_QUEUE_COMM, rt_dev_event(s.dev, RT_QUEUE_COMPUTE));
    rt_dev_call(s.dev, RT_QUEUE_COMM, look, &got);
    const rt_event called = rt_dev_event(s.dev, RT_QUEUE_COMM);
    rt_dev_drop(s.dev);
    CU_ASSERT(got.n_turns == !lazy && got.n_lost == lazy);
    RT_OKAY(rt_dev_event_wait(s.dev, called));
    CU_ASSERT(now(s.x, lazy ? 1.0f : 2.0f));
    rt_dev_wait(s.dev, RT_QUEUE_COMPUTE, called);
    RT_RUN(s.dev, fill, .y = s.x, .value = 3.0);
    RT_OKAY(rt_dev_sync(s.dev));
    CU_ASSERT(now(s.x, 3.0f));
    finish(&s);
    CU_ASSERT_EQUAL(got.n_turns + got.n_lost, 1);
  }
}

/** Without memory for the queue there is one error, told once; then it goes on.
 */
static void test_no_room(void)
{
  enum { MOST = 200000, BYTES = 1 << 20 };
  scene s;
  struct rlimit old;
  seen got = {0};
  start(&s, "check");
  getrlimit(RLIMIT_AS, &old);
  const struct rlimit low = {BYTES, old.rlim_max}; // less than it has: no more
  setrlimit(RLIMIT_AS, &low);
  for (int i = 0; i < MOST && s.dev->ctx.err == RT_OK; i++)
    RT_RUN(s.dev, fill, .y = s.x, .value = i);
  const int64_t n = rt_dev_launches(s.dev);
  RT_RUN(s.dev, fill, .y = s.x, .value = 0.0);
  rt_dev_call(s.dev, RT_QUEUE_COMPUTE, look, &got);
  setrlimit(RLIMIT_AS, &old);
  CU_ASSERT(got.n_turns == 0 && got.n_lost == 1);
  CU_ASSERT_EQUAL(rt_dev_launches(s.dev), n);
  RT_FAILS(rt_dev_sync(s.dev), RT_ERR_MEM, "no room in the queue");
  RT_RUN(s.dev, fill, .y = s.x, .value = 5.0);
  RT_OKAY(rt_dev_sync(s.dev));
  CU_ASSERT(now(s.x, 5.0f));
  finish(&s);
}

/** A copy to the device in a queue reads the host when it is its turn. */
static void test_put_start(void)
{
  for (int lazy = 0; lazy < 2; lazy++) {
    scene s;
    start(&s, lazy ? "check" : "cpu");
    float *const host = rt_dev_pin(s.dev, N * sizeof *host);
    CU_ASSERT_PTR_NOT_NULL_FATAL(host);
    for (int i = 0; i < N; i++)
      host[i] = 1.0f;
    rt_dev_put_start(s.dev, RT_QUEUE_COMM, s.x, host);
    host[0] = 5.0f;
    rt_dev_wait(s.dev, RT_QUEUE_COMPUTE, rt_dev_event(s.dev, RT_QUEUE_COMM));
    RT_RUN(s.dev, copy, .x = s.x, .y = s.y);
    RT_OKAY(rt_dev_sync(s.dev));
    CU_ASSERT_EQUAL(((float *)s.y.data)[0], lazy ? 5.0f : 1.0f);
    CU_ASSERT_EQUAL(((float *)s.y.data)[1], 1.0f);
    rt_dev_unpin(s.dev, host);
    finish(&s);
  }
}

static void test_in_place(void)
{
  scene s;
  start(&s, "check");
  RT_RUN(s.dev, fill, .y = s.x, .value = 1.0);
  RT_RUN(s.dev, fill, .y = s.y, .value = 3.0);
  RT_RUN(s.dev, swiglu_fwd, .gate = s.x, .up = s.y, .y = s.x);
  RT_OKAY(rt_dev_sync(s.dev));
  const float want = 3.0f / (1.0f + expf(-1.0f));
  CU_ASSERT(fabsf(((float *)s.x.data)[N - 1] - want) < 1e-5f);
  finish(&s);
}

static void test_errors_stick(void)
{
  scene s;
  for (int lazy = 0; lazy < 2; lazy++) {
    start(&s, lazy ? "check" : "cpu");
    RT_RUN(s.dev, fill, .y = s.x, .value = 1.0);
    RT_RUN(s.dev, sumsq, .x = s.x, .segments = outside(),
           .out = rt_view_of(s.y.data, RT_F64, 1, 1));
    rt_err_set(RT_ERR_IO, "elsewhere", 1, "another error of this thread");
    RT_FAILS(rt_dev_sync(s.dev), RT_ERR_INTERNAL, "kernel sumsq: ");
    RT_OKAY(rt_dev_sync(s.dev)); // said once
    finish(&s);
  }
}

/** A launch that needs more workspace than planned is a bug of the caller, on
 *  every device. */
static void test_workspace(void)
{
  for (int lazy = 0; lazy < 2; lazy++) {
    rt_dev *dev;
    float z[2] = {1, 3}, top = -1;
    double stats[K_N_STAT];
    int32_t label = 0, id;
    const k_topk_args args = {.z = rt_view_of(z, RT_F32, 1, 2),
                              .label = rt_view_of(&label, RT_I32, 1, 1),
                              .ids = rt_view_of(&id, RT_I32, 1, 1),
                              .top = rt_view_of(&top, RT_F32, 1, 1),
                              .stats = rt_view_of(stats, RT_F64, 1, K_N_STAT),
                              .v_true = 2};
    RT_OKAY(rt_dev_create(lazy ? "check" : "cpu", 3, &dev));
    CU_ASSERT_EQUAL(rt_dev_workspace(dev), 0);
    rt_launch(dev, K_topk, &args);
    RT_FAILS(rt_dev_sync(dev), RT_ERR_INTERNAL,
             "kernel topk: needs 786432 bytes of workspace, planned are 0");
    CU_ASSERT_EQUAL(top, -1.0f); // the kernel must not execute
    rt_dev_plan(dev, K_topk, &args);
    CU_ASSERT_EQUAL(rt_dev_workspace(dev), 3 * 256 * 1024);
    rt_launch(dev, K_topk, &args);
    RT_OKAY(rt_dev_sync(dev));
    CU_ASSERT(id == 1 && top == 3.0f);
    rt_dev_destroy(&dev);
  }
}

/** A launch with check that must be rejected with this message. */
static void refuse(const scene *s, k_id kernel, const void *args,
                   const char *why)
{
  rt_launch(s->dev, kernel, args);
  RT_FAILS(rt_dev_sync(s->dev), RT_ERR_INTERNAL, why);
}

static void test_views(void)
{
  scene s;
  start(&s, "check");
  RT_RUN(s.dev, fill, .y = s.x, .value = 1.0);
  refuse(&s, K_copy, &(k_copy_args){.x = s.x},
         "kernel copy: view 1 is written but absent");
  rt_view bad = s.y;
  bad.data = NULL;
  refuse(&s, K_copy, &(k_copy_args){.x = bad, .y = s.y},
         "kernel copy: view 0 has a shape but no memory");
  bad = s.y;
  bad.ld = N - 1;
  refuse(&s, K_copy, &(k_copy_args){.x = s.x, .y = bad},
         "kernel copy: view 1 has an ld smaller than its columns");
  bad = s.y;
  bad.rows = -1;
  refuse(&s, K_add, &(k_add_args){.x = bad, .y = s.y},
         "kernel add: view 0 has a negative size");
  // no rows are no fault
  RT_RUN(s.dev, fill, .y = rt_view_rows(s.y, 0, 0), .value = 1.0);
  RT_OKAY(rt_dev_sync(s.dev));
  CU_ASSERT(now(s.y, NAN));
  finish(&s);
}

RT_TEST_MAIN("device", {"kinds", test_create},
             {"memory is aligned and poisoned", test_memory},
             {"cpu runs inside the launch", test_cpu_runs_at_once},
             {"check runs at waits, up to the event", test_lazy},
             {"many launches in parts", test_many},
             {"copies stand in the queue", test_copies},
             {"check shows a missing wait", test_missing_wait},
             {"check poisons outputs", test_poison},
             {"waits of the host are counted", test_host_waits},
             {"copies to the host stand in the queue", test_get_start},
             {"queues wait for each other", test_queues},
             {"calls that fail or are lost", test_calls_fail},
             {"work that is dropped", test_drop},
             {"no memory for a queue", test_no_room},
             {"copies read the host when it is their turn", test_put_start},
             {"outputs in an input's memory", test_in_place},
             {"a kernel's error sticks until a wait", test_errors_stick},
             {"workspace is planned", test_workspace},
             {"check verifies views", test_views})
