/** \file test_worker.c
 *  A thread beside its owner: work, errors, waiting.
 *  ranks: 1 */
#include "base/worker.h"

#include "support/rt_test.h"
#include <pthread.h>
#include <time.h>

/** Work that waits for its permission, then fails if asked to. */
typedef struct job {
  pthread_mutex_t lock;
  pthread_cond_t changed;
  bool may_end, fails;
  int n_done;
} job;

static rt_err work(void *self)
{
  job *const j = self;
  pthread_mutex_lock(&j->lock);
  while (!j->may_end)
    pthread_cond_wait(&j->changed, &j->lock);
  j->n_done++;
  pthread_mutex_unlock(&j->lock);
  RT_CHECK(!j->fails, RT_ERR_IO, "no room for %d", j->n_done);
  return RT_OK;
}

static void allow(job *j, bool may_end)
{
  pthread_mutex_lock(&j->lock);
  j->may_end = may_end;
  pthread_cond_broadcast(&j->changed);
  pthread_mutex_unlock(&j->lock);
}

static void wait_until_idle(rt_worker *w)
{
  while (rt_worker_busy(w))
    nanosleep(&(struct timespec){0, 1000000}, NULL);
}

static void test_work(void)
{
  job j = {.lock = PTHREAD_MUTEX_INITIALIZER,
           .changed = PTHREAD_COND_INITIALIZER};
  rt_worker *w;
  RT_OKAY(rt_worker_create(&w));
  RT_OKAY(rt_worker_wait(w)); // nothing to wait for
  for (int i = 1; i <= 3; i++) {
    allow(&j, false);
    rt_worker_start(w, work, &j);
    CU_ASSERT_TRUE(rt_worker_busy(w));
    CU_ASSERT_FALSE(rt_worker_failed(w));
    allow(&j, true);
    RT_OKAY(rt_worker_wait(w));
    CU_ASSERT_FALSE(rt_worker_busy(w));
    CU_ASSERT_EQUAL(j.n_done, i);
  }
  rt_worker_destroy(&w);
  CU_ASSERT_PTR_NULL(w);
  rt_worker_destroy(&w);
}

/** An error passes to the owner's thread with its text, once; a later one of
 *  the owner is not touched by what is dropped. */
static void test_errors(void)
{
  job j = {.lock = PTHREAD_MUTEX_INITIALIZER,
           .changed = PTHREAD_COND_INITIALIZER,
           .may_end = true,
           .fails = true};
  rt_worker *w;
  RT_OKAY(rt_worker_create(&w));
  rt_worker_start(w, work, &j);
  wait_until_idle(w);
  CU_ASSERT_TRUE(rt_worker_failed(w));
  rt_worker_rest(w);
  CU_ASSERT_TRUE(rt_worker_failed(w));
  RT_FAILS(rt_worker_wait(w), RT_ERR_IO, "no room for 1");
  CU_ASSERT_FALSE(rt_worker_failed(w));
  RT_OKAY(rt_worker_wait(w));
  const rt_err own = RT_FAIL(RT_ERR_DATA, "the owner's");
  rt_worker_start(w, work, &j);
  rt_worker_forget(w);
  CU_ASSERT_STRING_EQUAL(rt_err_text(), "the owner's");
  CU_ASSERT_EQUAL(own, RT_ERR_DATA);
  RT_OKAY(rt_worker_wait(w));
  j.fails = false;
  rt_worker_start(w, work, &j);
  rt_worker_destroy(&w); // waits
  CU_ASSERT_EQUAL(j.n_done, 3);
}

RT_TEST_MAIN("worker", {"work beside its owner", test_work},
             {"errors", test_errors})
