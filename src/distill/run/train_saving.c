/** \file train_saving.c
 *  When and how a training run is saved. */
#include "base/clock.h"
#include "base/log.h"
#include "distill/run/train_run.h"

bool rt_train_due(int64_t step, int64_t every)
{
  return every > 0 && step % every == 0;
}

/** The clock counts from the end of the one before, so that there is time to
 *  train. */
bool rt_train_save_due(const rt_train_run *run)
{
  return rt_train_due(run->step, run->checkpoint_every) ||
         (run->checkpoint_s > 0.0 && rt_saver_writes(run->saver) < 0 &&
          rt_now_s() - run->saved_s >= run->checkpoint_s);
}

void rt_train_pause(rt_train_run *run, double since)
{
  if (rt_trainer_n_open(run->trainer) == 0)
    rt_progress_pause(&run->progress, since);
}

double rt_train_stop_s(const rt_train_run *run)
{
  const double n_steps = (double)(run->launched - run->step + 1);
  const bool evaluates = rt_train_due(run->step, run->eval_every);
  const bool another =
      rt_saver_writes(run->saver) >= 0 || rt_train_save_due(run);
  return (evaluates ? run->eval_s : 0.0) + n_steps * run->step_s +
         (another ? 2.0 : 1.0) * rt_saver_seconds(run->saver);
}

rt_last_run rt_train_progress_of(const rt_train_run *run)
{
  return (rt_last_run){.first = run->first,
                       .saved = run->saved > 0 ? run->saved : 0,
                       .whole = run->job->n_steps};
}

rt_err rt_train_record(rt_train_run *run)
{
  const rt_last_run now = rt_train_progress_of(run);
  run->recorded = run->lock != NULL;
  run->told = run->saved;
  return rt_agree(run->job->world,
                  run->recorded ? rt_last_run_goes(run->folder, &now) : RT_OK);
}

void rt_train_record_again(rt_train_run *run)
{
  const rt_last_run now = rt_train_progress_of(run);
  if (!run->recorded || run->told == run->saved)
    return;
  const rt_err err = rt_last_run_goes(run->folder, &now);
  if (err == RT_OK)
    run->told = run->saved;
  else if (!run->untold)
    rt_warn("%s/last_run still names an older checkpoint: %s.  Training goes "
            "on; this is tried again",
            run->folder, rt_err_text());
  run->untold = err != RT_OK;
  if (err != RT_OK)
    rt_err_clear();
}

/** "the checkpoint of step 4 was not written", "3 checkpoints were ..." */
static void unsaved_text(const rt_train_run *run, char *text, size_t n)
{
  if (run->n_unsaved == 1)
    snprintf(text, n, "the checkpoint of step %lld was not written",
             (long long)run->unsaved);
  else
    snprintf(text, n, "%lld checkpoints were not written, steps %lld to %lld",
             (long long)run->n_unsaved, (long long)run->unsaved,
             (long long)run->last_unsaved);
}

void rt_train_tell_unsaved(rt_train_run *run)
{
  char what[128];
  unsaved_text(run, what, sizeof what);
  if (run->n_unsaved > 1)
    rt_warn("%s", what);
  run->n_unsaved = 0;
}

/** One is written again. */
static void tell_saved(rt_train_run *run)
{
  char what[128];
  unsaved_text(run, what, sizeof what);
  if (run->n_unsaved > 0)
    rt_info("checkpoints are written again, from step %lld on; %s",
            (long long)run->saved, what);
  run->n_unsaved = 0;
}

/** After a call of the saver with the result \a err: note what it has
 *  published. */
static rt_err note(rt_train_run *run, rt_err err)
{
  const int64_t step = rt_saver_published(run->saver);
  const bool more = step > run->saved;
  if (more) {
    run->saved = step;
    tell_saved(run);
  }
  RT_TRY(err);
  if (!more)
    return RT_OK;
  rt_train_record_again(run);
  run->saved_s = rt_now_s();
  rt_debug("checkpoint of step %lld is published; one takes %.2f s",
           (long long)step, rt_saver_seconds(run->saver));
  return RT_OK;
}

/** The checkpoint of \a step could not be written. */
static void count_unsaved(rt_train_run *run, int64_t step)
{
  if (run->n_unsaved++ == 0) {
    run->unsaved = step;
    rt_warn("the checkpoint of step %lld: %s.  Training goes on; the next one "
            "is tried when it is due, and at the end",
            (long long)step, rt_err_text());
  }
  run->last_unsaved = step;
}

/** It was written, but older ones could not be removed. */
static void tell_unpruned(rt_train_run *run, int64_t step)
{
  if (!run->unpruned)
    rt_warn("the checkpoint of step %lld is written, but older ones are left: "
            "%s.  They are removed once they can be",
            (long long)step, rt_err_text());
  run->unpruned = true;
}

/** Errors of a disk: it is full, fails, or has become read-only, or a folder is
 *  gone or may not be written to. */
static bool is_of_disk(rt_err err)
{
  return err == RT_ERR_IO || err == RT_ERR_PERM || err == RT_ERR_LOCKED;
}

/** The same on the way.  An error on which not all ranks could agree cannot be
 *  survived. */
static rt_err bear(rt_train_run *run, int64_t step, rt_err err)
{
  const bool written = rt_saver_published(run->saver) >= step;
  if (!is_of_disk(err) || rt_agree_alone()) {
    run->unpruned = run->unpruned && !(err == RT_OK && written);
    return note(run, err);
  }
  if (written)
    tell_unpruned(run, step);
  else
    count_unsaved(run, step);
  rt_err_clear();
  run->saved_s = rt_now_s();
  return note(run, RT_OK);
}

static rt_err go_on(rt_train_run *run)
{
  const int64_t step = rt_saver_writes(run->saver);
  return bear(run, step, rt_saver_go_on(run->saver));
}

static rt_err settle(rt_train_run *run)
{
  const int64_t step = rt_saver_writes(run->saver);
  return bear(run, step, rt_saver_finish(run->saver));
}

/** What a captured window has up to this step must be on disk before. */
static rt_err sync_window(rt_train_run *run)
{
  // disks differ, and training survives the error
  return rt_agree_late(run->job->world,
                       rt_window_capture_sync(run->trainer->capture));
}

static rt_err save_meanwhile(rt_train_run *run)
{
  rt_err err = sync_window(run);
  if (err == RT_OK)
    err = rt_saver_begin(run->saver, run->step);
  return bear(run, run->step, err);
}

static rt_err save_waiting(rt_train_run *run)
{
  rt_err err = sync_window(run);
  if (err == RT_OK)
    err = rt_saver_save(run->saver, run->step);
  return bear(run, run->step, err);
}

static rt_err save_last(rt_train_run *run)
{
  RT_TRY(sync_window(run));
  const rt_err err = rt_saver_save(run->saver, run->step);
  const bool written = rt_saver_published(run->saver) >= run->step;
  return written ? bear(run, run->step, err) : note(run, err);
}

/** Do a part of writing checkpoints, as its own phase. */
static rt_err in_phase(rt_train_run *run, rt_err (*part)(rt_train_run *run))
{
  rt_job *const job = run->job;
  const double since = rt_now_s();
  const rt_phase was = rt_phases_to(&job->phases, RT_PHASE_CHECKPOINT);
  job->hooks->beat(run->step, "checkpoint");
  RT_TRY(part(run));
  rt_phases_to(&job->phases, was);
  rt_train_pause(run, since);
  return RT_OK;
}

rt_err rt_train_go_on_saving(rt_train_run *run)
{
  return in_phase(run, go_on);
}

rt_err rt_train_settle(rt_train_run *run)
{
  return rt_saver_writes(run->saver) >= 0 ? in_phase(run, settle) : RT_OK;
}

rt_err rt_train_save(rt_train_run *run, rt_save_how how)
{
  if (run->folder[0] == '\0')
    return RT_OK;
  RT_TRY(rt_train_settle(run));
  return in_phase(run,
                  how == RT_SAVE_MEANWHILE && rt_saver_can_begin(run->saver)
                      ? save_meanwhile
                      : save_waiting);
}

rt_err rt_train_save_last(rt_train_run *run)
{
  if (run->folder[0] == '\0')
    return RT_OK;
  RT_TRY(rt_train_settle(run));
  return run->saved == run->step ? RT_OK : in_phase(run, save_last);
}
