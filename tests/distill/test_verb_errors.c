/** \file test_verb_errors.c
 *  A copy to the device fails while it lags behind the host: each verb drops
 *  what is in the queues before it frees the memory that this uses.
 *  ranks: 1 */
#include "dev/device_impl.h"
#include "distill/run/run_bench.h"
#include "support/scene.h"

// The functions of a device and of a run have no argument of ours.
static struct {
  int n_puts;   // copies that succeed
  bool failed;  // one did not
  bool dropped; // since then
  int n_early;  // memory that was freed between the two
} seen;

static rt_err put(rt_dev *dev, const rt_view *to, const void *host)
{
  if (seen.n_puts-- > 0)
    return rt_dev_check_backend.put(dev, to, host);
  seen.failed = true;
  return RT_FAIL(RT_ERR_MEM, "a copy that fails");
}

static void drop(rt_dev *dev)
{
  seen.dropped = seen.failed;
  rt_dev_check_backend.drop(dev);
}

static void release(rt_dev *dev, void *data)
{
  seen.n_early += seen.failed && !seen.dropped;
  rt_dev_check_backend.release(dev, data);
}

static void on_fatal(rt_err err)
{
  (void)err; // the peers fail alike
}

static const rt_hooks hooks = {on_fatal, scene_on_beat, scene_on_wait,
                               scene_never};

/** Run a verb, of which all copies but the first \a n_puts fail. */
static rt_err run(const scene *s, rt_err (*verb)(rt_job *), int n_puts)
{
  char text[5 * RT_PATH_MAX];
  rt_deck *deck = NULL;
  rt_job job;
  snprintf(text, sizeof text,
           "run: {threads: 1, device: check, peak_gflops: 1}\n"
           "data: {files: [%s], seq: %d, eot: 0}\n"
           "student: {weights: %s}\n"
           "teacher: {weights: %s, source: live, top_k: 8}\n"
           "train: {length: 2, batch_rows: 4}\n"
           "eval: {teacher: true, rows: 4}\n"
           "capture: {dir: \"%s/logits-%d\", rows: 4, top_k: 8,\n"
           "  shard_rows: 2, micro_rows: 2}\n",
           s->corpus, SCENE_T, s->student, s->teacher, s->folder, n_puts);
  RT_OKAY(rt_deck_parse("test", text, 0, NULL, &deck));
  rt_err err = rt_job_init(&job, deck, s->world, &hooks,
                           RT_NEED_STUDENT | RT_NEED_TEACHER | RT_NEED_CORPUS);
  CU_ASSERT_EQUAL_FATAL(err, RT_OK);
  rt_dev_backend failing = rt_dev_check_backend;
  failing.put = put;
  failing.drop = drop;
  failing.release = release;
  job.dev->backend = &failing;
  memset(&seen, 0, sizeof seen);
  seen.n_puts = n_puts;
  err = verb(&job);
  CU_ASSERT_EQUAL(seen.n_early, 0);
  rt_job_clear(&job);
  rt_deck_destroy(&deck);
  return err;
}

static void test_verbs(void)
{
  static rt_err (*const verbs[])(rt_job *) = {
      rt_run_train,      rt_run_capture,       rt_run_count,     rt_run_eval,
      rt_run_bench_gemm, rt_run_bench_teacher, rt_run_bench_loss};
  scene s;
  scene_create(&s);
  for (size_t i = 0; i < sizeof verbs / sizeof verbs[0]; i++) {
    int n_failed = 0;
    rt_err err = RT_ERR_MEM;
    for (int n_puts = 0; err != RT_OK && n_puts < 1000;
         n_puts += 1 + n_puts / 3) {
      err = run(&s, verbs[i], n_puts);
      CU_ASSERT(err == RT_OK || err == RT_ERR_MEM);
      n_failed += err != RT_OK;
    }
    CU_ASSERT_EQUAL(err, RT_OK);
    CU_ASSERT(n_failed > 0 || verbs[i] == rt_run_bench_gemm);
  }
  scene_clear(&s);
}

RT_TEST_MAIN("verb_errors", {"what is queued is dropped first", test_verbs})
