/** \file verb_capture.c
 *  retort capture DECK. */
#include "app/app.h"
#include "app/watchdog.h"
#include "base/clock.h"
#include "distill/run/run.h"
#include "io/common/lock.h"

/** Interval between refreshes of the lock; others wait much longer
 *  (io/common/lock.h). */
static const double REFRESH_S = 60.0;

// Static, because the beat hook has no argument for it.
static struct {
  rt_lock *lock; // owned, rank 0
  double refreshed_s;
} held;

/** Show others who wait for the folder that this run is alive. */
static void refresh(void)
{
  if (held.lock != NULL && rt_now_s() - held.refreshed_s > REFRESH_S) {
    rt_lock_refresh(held.lock);
    held.refreshed_s = rt_now_s();
  }
}

/** Called for each micro-batch; also shows the watchdog that this rank is
 *  alive. */
static void beat(int64_t row, const char *phase)
{
  rt_watchdog_beat(row, phase);
  refresh();
}

static void waits(const char *phase)
{
  rt_watchdog_wait(phase);
  refresh();
}

/** One run per dataset: rank 0 creates the folder and locks it. */
static rt_err take_folder(const rt_app *app, const char *folder)
{
  const rt_comm *world = app->world;
  rt_err err = RT_OK;
  if (rt_comm_rank(world) == 0 && folder[0] != '\0') {
    err = rt_job_check_place(app->deck, RT_KEY_CAP_DIR, "manifest.json");
    if (err == RT_OK)
      err = rt_lock_take(folder, rt_job_silence_s(app->deck), &held.lock);
  }
  held.refreshed_s = rt_now_s();
  return rt_agree(world, err);
}

rt_err rt_verb_capture(const rt_app *app)
{
  const char *folder = rt_deck_text(app->deck, RT_KEY_CAP_DIR);
  rt_app with_lock = *app;
  rt_job job;
  with_lock.hooks.beat = beat;
  with_lock.hooks.waits = waits;
  // 1.  Check shapes, grids and inputs before anything is created.
  rt_err err = rt_app_start_job(&with_lock, RT_NEED_TEACHER | RT_NEED_CORPUS,
                                folder, &job);
  // 2.  Lock the dataset's folder.
  if (err == RT_OK)
    err = take_folder(app, folder);
  // 3.  Capture shard by shard; finished shards of an interrupted capture are
  // kept.
  if (err == RT_OK)
    err = rt_deck_bool(app->deck, RT_KEY_CAP_COUNT) ? rt_run_count(&job)
                                                    : rt_run_capture(&job);
  rt_app_end_job(&job);
  rt_lock_release(&held.lock);
  return err;
}
