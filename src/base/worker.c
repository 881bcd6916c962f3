/** \file worker.c
 *  A thread that does one piece of work at a time. */
#include "base/worker.h"

#include "base/clock.h"
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>

struct rt_worker {
  pthread_t thread;
  pthread_mutex_t lock; // protects what follows
  pthread_cond_t changed;
  rt_work_fn *fn; // NULL: idle
  void *work;     // borrowed
  bool stop;
  rt_err err;    // of the last work
  double work_s; // of all work until now
  char text[2048];
};

/** Where threads share cores, the work gets its fair turn, but does not preempt
 *  the threads that compute.  Best effort. */
static void stand_back(void)
{
  const struct sched_param none = {0};
  (void)pthread_setschedparam(pthread_self(), SCHED_BATCH, &none);
}

/** Wait for work; false: stop. */
static bool next(rt_worker *w)
{
  pthread_mutex_lock(&w->lock);
  while (!w->stop && w->fn == NULL)
    pthread_cond_wait(&w->changed, &w->lock);
  const bool some = w->fn != NULL;
  pthread_mutex_unlock(&w->lock);
  return some;
}

static void *serve(void *self)
{
  rt_worker *const w = self;
  stand_back();
  while (next(w)) {
    const double since = rt_now_s();
    const rt_err err = w->fn(w->work); // unchanged until fn is NULL
    pthread_mutex_lock(&w->lock);
    w->work_s += rt_now_s() - since;
    w->fn = NULL;
    w->err = err;
    // the error record is local to this thread: pass the text on
    snprintf(w->text, sizeof w->text, "%s", err != RT_OK ? rt_err_text() : "");
    pthread_cond_broadcast(&w->changed);
    pthread_mutex_unlock(&w->lock);
  }
  return NULL;
}

rt_err rt_worker_create(rt_worker **out)
{
  *out = NULL;
  rt_worker *const w = calloc(1, sizeof *w);
  RT_CHECK(w != NULL, RT_ERR_MEM, "a thread's state");
  pthread_mutex_init(&w->lock, NULL);
  pthread_cond_init(&w->changed, NULL);
  if (pthread_create(&w->thread, NULL, serve, w) != 0) {
    pthread_cond_destroy(&w->changed);
    pthread_mutex_destroy(&w->lock);
    free(w);
    return RT_FAIL(RT_ERR_MEM, "cannot start a thread (ulimit -u)");
  }
  *out = w;
  return RT_OK;
}

void rt_worker_destroy(rt_worker **out)
{
  rt_worker *const w = *out;
  *out = NULL;
  if (w == NULL)
    return;
  pthread_mutex_lock(&w->lock);
  w->stop = true;
  pthread_cond_broadcast(&w->changed);
  pthread_mutex_unlock(&w->lock);
  pthread_join(w->thread, NULL);
  pthread_cond_destroy(&w->changed);
  pthread_mutex_destroy(&w->lock);
  free(w);
}

void rt_worker_start(rt_worker *w, rt_work_fn *fn, void *work)
{
  pthread_mutex_lock(&w->lock);
  RT_ASSERT(w->fn == NULL && w->err == RT_OK);
  w->fn = fn;
  w->work = work;
  pthread_cond_broadcast(&w->changed);
  pthread_mutex_unlock(&w->lock);
}

bool rt_worker_busy(rt_worker *w)
{
  pthread_mutex_lock(&w->lock);
  const bool busy = w->fn != NULL;
  pthread_mutex_unlock(&w->lock);
  return busy;
}

bool rt_worker_failed(rt_worker *w)
{
  pthread_mutex_lock(&w->lock);
  const bool failed = w->fn == NULL && w->err != RT_OK;
  pthread_mutex_unlock(&w->lock);
  return failed;
}

double rt_worker_seconds(rt_worker *w)
{
  pthread_mutex_lock(&w->lock);
  const double s = w->work_s;
  pthread_mutex_unlock(&w->lock);
  return s;
}

/** Wait, with the lock held. */
static void wait_idle(rt_worker *w)
{
  while (w->fn != NULL)
    pthread_cond_wait(&w->changed, &w->lock);
}

void rt_worker_rest(rt_worker *w)
{
  pthread_mutex_lock(&w->lock);
  wait_idle(w);
  pthread_mutex_unlock(&w->lock);
}

void rt_worker_forget(rt_worker *w)
{
  pthread_mutex_lock(&w->lock);
  wait_idle(w);
  w->err = RT_OK;
  pthread_mutex_unlock(&w->lock);
}

rt_err rt_worker_wait(rt_worker *w)
{
  pthread_mutex_lock(&w->lock);
  wait_idle(w);
  const rt_err err = w->err;
  w->err = RT_OK;
  pthread_mutex_unlock(&w->lock);
  RT_CHECK(err == RT_OK, err, "%s", w->text);
  return RT_OK;
}
