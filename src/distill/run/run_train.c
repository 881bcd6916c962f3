/** \file run_train.c
 *  The training loop. */
#include "base/clock.h"
#include "base/log.h"
#include "distill/eval/evaluate.h"
#include "distill/job/wall.h"
#include "distill/run/run.h"
#include "distill/run/run_parts.h"
#include "distill/run/train_run.h"
#include "distill/train/job_train.h"
#include "distill/train/resume.h"
#include "distill/train/run_folder.h"
#include "distill/train/step.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

/** Reasons to end a run; ranks agree on the maximum. */
typedef enum rt_stop { GO_ON, STOP_WALL, STOP_FILE, STOP_ASKED } rt_stop;

static int64_t interval(const rt_job *job, rt_key key)
{
  return rt_deck_steps(job->deck, key, job->batch_rows * job->seq,
                       job->n_steps);
}

/** Keep the log of rank 0 over all starts. */
static rt_err keep_log(const rt_train_run *run)
{
  char path[RT_PATH_MAX];
  RT_TRY(rt_path_join(path, run->folder, "retort.log"));
  return rt_log_keep(path);
}

/** Append to an existing log, so that it shows why a start was refused; a first
 *  start that is refused leaves no file. */
static rt_err go_on_with_log(const rt_train_run *run)
{
  char path[RT_PATH_MAX];
  RT_TRY(rt_path_join(path, run->folder, "retort.log"));
  return rt_file_exists(path) ? keep_log(run) : RT_OK;
}

static rt_err open_folder(rt_train_run *run)
{
  rt_err err = RT_OK;
  if (run->folder[0] == '\0') {
    rt_info(
        "output.dir is not set: neither checkpoints nor metrics are written");
    return RT_OK;
  }
  if (rt_comm_rank(run->job->world) == 0) {
    const double silence_s = rt_job_silence_s(run->job->deck);
    err = rt_job_check_place(run->job->deck, RT_KEY_OUT_DIR, "checkpoints");
    if (err == RT_OK)
      err = rt_lock_take(run->folder, silence_s, &run->lock);
    if (err == RT_OK)
      err = rt_run_folder_check(run->folder);
    if (err == RT_OK)
      rt_run_folder_sweep(run->folder);
    if (err == RT_OK)
      err = go_on_with_log(run);
  }
  return rt_agree(run->job->world, err);
}

static rt_err put_text(const char *folder, const char *name, const char *text)
{
  char path[RT_PATH_MAX];
  RT_TRY(rt_path_join(path, folder, name));
  return rt_file_put(path, text, strlen(text));
}

/** Is nothing left to train with this start's deck?  The folder contains the
 *  deck that was used. */
static bool is_told(const rt_train_run *run)
{
  char path[RT_PATH_MAX];
  return run->saved >= 0 && run->step >= run->job->n_steps &&
         rt_path_join(path, run->folder, "deck.yaml") == RT_OK &&
         rt_file_exists(path);
}

static rt_err put_deck(const rt_train_run *run)
{
  char *text = NULL;
  RT_TRY(rt_deck_to_file_text(run->job->deck, &text));
  const rt_err err = put_text(run->folder, "deck.yaml", text);
  free(text);
  RT_TRY(err);
  RT_TRY(put_text(run->folder, "config.json", run->job->config));
  const rt_run_card card = rt_job_card(run->job);
  return rt_run_card_write(&card, run->folder);
}

/** Write the resolved deck with the source of each value, the model, and a
 *  description of its dataset.  Only once there are metrics, by which
 *  rt_run_folder_check recognises a run's folder. */
static rt_err keep_deck(const rt_train_run *run)
{
  const bool writes = run->lock != NULL && !is_told(run);
  return rt_agree(run->job->world, writes ? put_deck(run) : RT_OK);
}

/** Plan trainer and evaluator, then allocate them. */
static rt_err make_parts(rt_train_run *run)
{
  rt_run_parts parts;
  const rt_err err = rt_run_parts_plan(run->job, RT_PLAN_SUM, &parts);
  run->trainer = parts.trainer; // owned from here on, also after an error
  run->evaluator = parts.evaluator;
  run->eval_rows = parts.eval_rows;
  RT_TRY(err);
  const rt_peak_spec products = rt_job_peak(run->job);
  RT_TRY(rt_peak_find(&products, &run->peak));
  RT_TRY(rt_trainer_commit(run->trainer));
  const rt_run_spec made = rt_job_run(run->job);
  RT_TRY(rt_agree(run->job->world, rt_saver_create(&made, run->trainer,
                                                   parts.saving, &run->saver)));
  return run->evaluator != NULL ? rt_evaluator_commit(run->evaluator) : RT_OK;
}

static rt_err begin_capture(rt_train_run *run)
{
  rt_window_capture *const capture = run->trainer->capture;
  rt_run_id *const id = &run->trainer->id;
  char known[RT_SHA256_HEX];
  if (capture == NULL)
    return RT_OK;
  const rt_run_spec made = rt_job_run(run->job);
  RT_TRY(rt_window_capture_origin(capture, known));
  RT_TRY(rt_run_id_origin(&made, run->saved, known, id));
  return rt_window_capture_begin(capture, run->step, id->origin);
}

static rt_err prepare(rt_train_run *run)
{
  rt_job *job = run->job;
  RT_TRY(rt_job_make_config(job));
  RT_TRY(rt_wall_end(job, &run->wall_end_s));
  RT_TRY(open_folder(run));
  RT_TRY(make_parts(run));
  const rt_run_spec made = rt_job_run(job);
  RT_TRY(rt_resume_begin(&made, run->trainer, &run->saved));
  run->step = run->first = run->launched = run->saved > 0 ? run->saved : 0;
  if (run->saved >= 0)
    rt_info("resumed at step %lld of %lld from %s", (long long)run->step,
            (long long)job->n_steps, run->folder);
  run->checkpoint_every = interval(job, RT_KEY_CKPT_EVERY);
  run->eval_every = interval(job, RT_KEY_EVAL_EVERY);
  run->checkpoint_s = rt_deck_seconds(job->deck, RT_KEY_CKPT_EVERY);
  RT_TRY(begin_capture(run));
  if (run->step < job->n_steps)
    RT_TRY(rt_agree(job->world, rt_trainer_seek(run->trainer, run->step)));
  RT_TRY(rt_agree(job->world, run->lock != NULL ? keep_log(run) : RT_OK));
  const rt_progress_spec lines = rt_job_progress(job, &run->peak);
  RT_TRY(rt_progress_init(&run->progress, &lines, run->folder, run->step));
  RT_TRY(keep_deck(run));
  run->saved_s = rt_now_s();
  return rt_train_record(run);
}

static rt_err evaluate(rt_train_run *run)
{
  rt_eval_result r;
  const double since = rt_now_s();
  if (run->evaluator == NULL)
    return RT_OK;
  RT_TRY(rt_evaluate(run->evaluator, RT_VALID, run->eval_rows, &r));
  run->eval_s = rt_now_s() - since;
  rt_train_pause(run, since);
  return rt_agree(run->job->world,
                  rt_progress_eval(&run->progress, run->step, &r));
}

/** Make up for an evaluation that was skipped because of a stop or kill. */
static rt_err evaluate_owed(rt_train_run *run)
{
  const rt_job *const job = run->job;
  bool owed = rt_progress_owes(&run->progress, run->step);
  if (run->evaluator == NULL || run->saved <= 0 ||
      (!rt_train_due(run->step, run->eval_every) && run->step < job->n_steps))
    return RT_OK;
  RT_TRY(rt_comm_bcast(job->world, &owed, sizeof owed, 0));
  return owed ? evaluate(run) : RT_OK;
}

/** List the rows of a bad step, so that a user can examine them. */
static void rows_text(const rt_job *job, int64_t step, char *text, size_t n)
{
  const uint64_t seed = (uint64_t)rt_deck_int(job->deck, RT_KEY_RUN_SEED);
  const int64_t max = 32;
  size_t at = 0;
  for (int64_t i = 0; i < job->batch_rows && i < max && at < n; i++)
    at += (size_t)snprintf(text + at, n - at, " %lld",
                           (long long)rt_corpus_order(
                               seed, job->n_rows, step * job->batch_rows + i));
  if (job->batch_rows > max && at < n)
    snprintf(text + at, n - at, " and %lld more",
             (long long)(job->batch_rows - max));
}

/** A bad step, in which nothing was updated: skip it if the deck allows. */
static rt_err judge_bad_step(const rt_train_run *run, const rt_step_result *r)
{
  const rt_job *job = run->job;
  const int64_t max = rt_deck_int(job->deck, RT_KEY_TRAIN_MAX_SKIPS);
  const int64_t skipped = run->trainer->n_skipped;
  const bool skip = rt_deck_is(job->deck, RT_KEY_TRAIN_ON_BAD, "skip");
  char rows[1024] = "";
  rows_text(job, run->step, rows, sizeof rows);
  RT_CHECK(skip, RT_ERR_NUMBER,
           "step %lld: loss %g, gradient norm %g (running mean %g); nothing "
           "was updated, and the last checkpoint is intact.  Its rows of the "
           "training stream:%s.  train.on_bad_step=skip would skip it",
           (long long)run->step + 1, r->loss, r->grad_norm,
           run->trainer->norm_mean, rows);
  RT_CHECK(skipped <= max, RT_ERR_NUMBER,
           "step %lld: loss %g, gradient norm %g, and %lld steps have already "
           "been skipped (train.max_skips): the run has diverged.  Rows:%s",
           (long long)run->step + 1, r->loss, r->grad_norm,
           (long long)skipped - 1, rows);
  rt_warn("step %lld skipped: loss %g, gradient norm %g; rows:%s",
          (long long)run->step + 1, r->loss, r->grad_norm, rows);
  return RT_OK;
}

/** The reason, if any, for which this rank would stop now. */
static rt_stop wish(const rt_train_run *run)
{
  char path[RT_PATH_MAX];
  if (run->job->hooks->stop_asked())
    return STOP_ASKED;
  if (run->lock != NULL && // rank 0 checks for all
      rt_path_join(path, run->folder, "stop") == RT_OK && rt_file_exists(path))
    return STOP_FILE;
  if (run->wall_end_s > 0.0 &&
      rt_now_s() + rt_train_stop_s(run) >= run->wall_end_s)
    return STOP_WALL;
  return GO_ON;
}

/** Peak resident memory of this process in bytes. */
static double peak_rss(void)
{
  struct rusage use;
  getrusage(RUSAGE_SELF, &use);
  return (double)use.ru_maxrss * 1024.0; // Linux reports KiB
}

/** What ranks exchange after a step: the maximum of each member. */
typedef struct rt_meeting {
  rt_stop stop;
  bool save; // clocks differ, so all save if one would
  rt_checkpoint_state writing;
  bool stalls; // to wait for the rest of the checkpoint would be noticed
  double rss_bytes, wait;
  double gflops; // of a rank since the last line
} rt_meeting;

/** The only collective of the loop itself, after each step, with seven numbers.
 */
static rt_err meet(const rt_train_run *run, rt_meeting *m)
{
  double v[] = {(double)wish(run),
                rt_train_save_due(run),
                peak_rss(),
                rt_progress_wait(&run->progress),
                rt_progress_gflops(&run->progress, run->step),
                rt_saver_poll(run->saver),
                20.0 * rt_saver_work_s(run->saver) > run->step_s};
  RT_TRY(rt_comm_allreduce_host(run->job->world, v, 7, RT_F64, RT_MAX));
  *m = (rt_meeting){.stop = (rt_stop)lrint(v[0]),
                    .save = v[1] > 0.0,
                    .rss_bytes = v[2],
                    .wait = v[3],
                    .gflops = v[4],
                    .writing = (rt_checkpoint_state)lrint(v[5]),
                    .stalls = v[6] > 0.0};
  return RT_OK;
}

/** No run is faster than the peak.  All ranks pass the same number. */
static rt_err correct_peak(rt_train_run *run, double gflops)
{
  const double since = rt_now_s();
  if (gflops <= run->peak.gflops)
    return RT_OK;
  const rt_peak_spec products = rt_job_peak(run->job);
  RT_TRY(rt_peak_exceeded(&products, gflops, &run->peak));
  rt_train_pause(run, since);
  return RT_OK;
}

/** Write metrics, and a progress line if due.  Only rank 0 writes. */
static rt_err report(rt_train_run *run, const rt_step_result *r,
                     const rt_meeting *m)
{
  rt_job *job = run->job;
  const rt_phase was = rt_phases_to(&job->phases, RT_PHASE_LOG);
  const bool now =
      run->step % rt_deck_int(job->deck, RT_KEY_OUT_LOG_EVERY) == 0 ||
      run->step == job->n_steps;
  RT_TRY(rt_progress_step(&run->progress, run->step, r));
  if (now)
    RT_TRY(correct_peak(run, m->gflops));
  if (now)
    rt_progress_line(&run->progress, run->step, r, m->rss_bytes, m->wait);
  if (run->lock != NULL && rt_now_s() - run->refreshed_s > 30.0) {
    rt_lock_refresh(run->lock);
    rt_train_record_again(run);
    run->refreshed_s = rt_now_s();
  }
  rt_phases_to(&job->phases, was);
  return RT_OK;
}

/** Take the result of a step and decide what comes of it.  \a m: what ranks
 *  wish, this time or before. */
static rt_err complete(rt_train_run *run, rt_meeting *m)
{
  rt_step_result r;
  const rt_meeting before = *m;
  RT_TRY(rt_trainer_result(run->trainer, &r));
  run->step_s = r.seconds;
  if (r.bad) {
    RT_TRY(rt_train_settle(run)); // this step may end the run
    RT_TRY(judge_bad_step(run, &r));
  }
  run->step++;
  RT_TRY(meet(run, m));
  m->stop = m->stop > before.stop ? m->stop : before.stop;
  m->save = m->save || before.save;
  RT_TRY(report(run, &r, m));
  if (rt_saver_writes(run->saver) >= 0 && m->writing != RT_CHECKPOINT_WRITES)
    return m->stalls ? rt_train_go_on_saving(run) : rt_train_settle(run);
  return RT_OK;
}

static bool evaluates(const rt_train_run *run, int64_t step)
{
  return run->evaluator != NULL && rt_train_due(step, run->eval_every);
}

/** Does somebody need the last step's end before the next one is launched?  A
 *  wall limit needs to know how long a step takes. */
static bool is_awaited(const rt_train_run *run)
{
  return run->launched == run->job->n_steps || evaluates(run, run->launched) ||
         rt_train_due(run->launched, run->checkpoint_every) ||
         (run->wall_end_s > 0.0 && run->step_s == 0.0);
}

/** Launch a step, and take the results of steps before it: that of the last one
 *  only where it is complete at once, or somebody needs it. */
static rt_err launch(rt_train_run *run, rt_meeting *m)
{
  run->job->hooks->beat(run->launched, "step");
  RT_TRY(rt_trainer_step(run->trainer, run->launched));
  run->launched++;
  const int64_t left = is_awaited(run) ? 0 : rt_trainer_lag(run->trainer);
  while (rt_trainer_n_open(run->trainer) > left)
    RT_TRY(complete(run, m));
  while ((m->stop != GO_ON || m->save) && rt_trainer_n_open(run->trainer) > 0)
    RT_TRY(complete(run, m));
  return RT_OK;
}

/** One step with everything that belongs to it.  A checkpoint precedes an
 *  evaluation, and a stop precedes both: there may be little time, and the end
 *  writes a checkpoint. */
static rt_err advance(rt_train_run *run, rt_stop *stop)
{
  rt_meeting m = {0};
  RT_TRY(launch(run, &m));
  *stop = m.stop;
  if (run->step == run->job->n_steps || *stop != GO_ON)
    return RT_OK;
  const bool looks = evaluates(run, run->step) && run->step == run->launched;
  if (m.save)
    RT_TRY(rt_train_save(run, looks ? RT_SAVE_WAITING : RT_SAVE_MEANWHILE));
  if (!looks)
    return RT_OK;
  RT_TRY(rt_train_settle(run)); // nobody looks at it during an evaluation
  return evaluate(run);
}

/** Steps until the end or a stop.  A rank that fails alone would leave its
 *  peers waiting, so its error ends the job; a bad step is detected by all
 *  ranks alike. */
static rt_err loop(rt_train_run *run, rt_stop *stop)
{
  *stop = GO_ON;
  // a signal received during set-up may be followed by SIGKILL before a step of
  // minutes completes
  int32_t asked = run->job->hooks->stop_asked();
  RT_TRY(rt_comm_allreduce_host(run->job->world, &asked, 1, RT_I32, RT_MAX));
  if (asked != 0)
    *stop = STOP_ASKED;
  while (run->step < run->job->n_steps && *stop == GO_ON) {
    const rt_err err = advance(run, stop);
    if (err != RT_OK && err != RT_ERR_NUMBER) {
      rt_train_tell_unsaved(run);
      rt_progress_clear(&run->progress); // tries what is kept once more
      run->job->hooks->fatal(err);
    }
    RT_TRY(err);
  }
  return RT_OK;
}

static const char *reason(rt_stop stop)
{
  static const char *const texts[] = {[GO_ON] = "finished",
                                      [STOP_WALL] =
                                          "stopped before the wall limit",
                                      [STOP_FILE] = "stopped by the stop file",
                                      [STOP_ASKED] = "stopped by a signal"};
  return texts[stop];
}

/** Means per step since the start.  Collective. */
static rt_err count_all(const rt_train_run *run, rt_run_counts *counts)
{
  const int64_t n = run->step - run->first;
  double sent =
      (double)rt_comm_sent(run->job->grid_s.comm_dp) / (double)(n > 0 ? n : 1);
  RT_TRY(rt_comm_allreduce_host(run->job->world, &sent, 1, RT_F64, RT_MAX));
  *counts = (rt_run_counts){.sent_bytes = sent,
                            .device = rt_trainer_counts(run->trainer)};
  return RT_OK;
}

static rt_err summary(rt_train_run *run, rt_stop stop)
{
  rt_job *job = run->job;
  rt_run_counts counts;
  const double s = rt_now_s() - job->phases.began;
  const double tokens =
      (double)((run->step - run->first) * job->batch_rows * job->seq);
  rt_phase_table table;
  RT_TRY(rt_phases_gather(&job->phases, job->world, &table));
  RT_TRY(count_all(run, &counts));
  const rt_err told =
      rt_agree(job->world, rt_progress_end(&run->progress, run->step,
                                           reason(stop), &table, &counts));
  rt_phases_say(&table);
  rt_info("%s at step %lld of %lld: %.0f tokens in %.1f s, %lld steps "
          "skipped%s%s",
          reason(stop), (long long)run->step, (long long)job->n_steps, tokens,
          s, (long long)run->trainer->n_skipped,
          run->folder[0] != '\0' ? "; output in " : "", run->folder);
  return told == RT_OK ? RT_OK
                       : rt_err_add(told, ".  The state of step %lld is saved",
                                    (long long)run->step);
}

static rt_err finish(rt_train_run *run, rt_stop stop)
{
  const rt_job *job = run->job;
  char path[RT_PATH_MAX];
  const bool trained = run->step >= job->n_steps;
  // an evaluation for which there is no time is left to the next start
  const bool complete = trained && (stop == GO_ON || run->evaluator == NULL);
  // the last step's: no forward may follow
  RT_TRY(rt_params_arrive_all(rt_model_params(run->trainer->model)));
  RT_TRY(rt_train_save_last(run));
  if (complete && run->first < job->n_steps)
    RT_TRY(evaluate(run));
  if (!complete && run->lock != NULL &&
      rt_path_join(path, run->folder, "stop") == RT_OK)
    unlink(path); // the stop file has been obeyed; the next run should continue
  RT_TRY(summary(run, complete ? GO_ON : stop));
  if (complete)
    return RT_OK;
  return RT_FAIL(
      stop == STOP_FILE ? RT_ERR_HALTED : RT_ERR_STOPPED,
      "%s at step %lld of %lld: %s", reason(stop), (long long)run->step,
      (long long)job->n_steps,
      run->folder[0] != '\0'
          ? "a checkpoint was written, and the same command resumes it"
          : "output.dir is not set, so nothing is kept");
}

rt_err rt_run_train(rt_job *job)
{
  rt_train_run run = {.job = job,
                      .folder = rt_deck_text(job->deck, RT_KEY_OUT_DIR),
                      .saved = -1};
  rt_stop stop = GO_ON;
  rt_err err = prepare(&run);
  rt_phases_to(&job->phases, RT_PHASE_OTHER);
  if (err == RT_OK)
    err = evaluate_owed(&run);
  if (err == RT_OK)
    err = loop(&run, &stop);
  if (err == RT_OK)
    err = finish(&run, stop);
  if (run.recorded) {
    const rt_last_run end = rt_train_progress_of(&run);
    rt_last_run_ends(run.folder, &end, err);
  }
  if (err != RT_OK)
    rt_dev_drop(job->dev); // a step may be open: it uses what goes now
  rt_train_tell_unsaved(&run);
  rt_progress_clear(&run.progress);
  rt_saver_destroy(&run.saver);
  rt_evaluator_destroy(&run.evaluator);
  rt_trainer_destroy(&run.trainer);
  rt_lock_release(&run.lock);
  return err;
}
