/** \file progress.c
 *  Progress lines and metrics.jsonl. */
#include "distill/train/progress.h"

#include "base/build_info.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/log.h"
#include "par/hosts.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

/** Written once per start: describes the machine and layout for the lines that
 *  follow. */
static rt_err put_start(const rt_progress *p, const rt_hosts *hosts)
{
  static const char *const jobs[] = {"SLURM_JOB_ID", "PBS_JOBID", "LSB_JOBID",
                                     "JOB_ID"};
  const rt_progress_spec *const run = &p->spec;
  rt_metrics *const m = p->metrics;
  char when[32];
  rt_clock_iso(when, sizeof when);
  rt_metrics_begin(m, "start", p->step);
  rt_metrics_text(m, "date", when);
  rt_metrics_text(m, "version", RT_VERSION);
  rt_metrics_text(m, "commit", rt_build_commit());
  for (size_t i = 0; i < sizeof jobs / sizeof jobs[0]; i++)
    if (getenv(jobs[i]) != NULL) {
      rt_metrics_text(m, "job_id", getenv(jobs[i]));
      break;
    }
  rt_metrics_int(m, "ranks", rt_comm_size(run->world));
  rt_metrics_int(m, "hosts", hosts->n);
  rt_metrics_text(m, "host_names", hosts->names);
  rt_metrics_int(m, "threads", run->threads);
  rt_metrics_int(m, "dp", run->dp);
  rt_metrics_int(m, "tp", run->tp);
  if (run->teacher_tp > 0) {
    rt_metrics_int(m, "teacher_dp", run->teacher_dp);
    rt_metrics_int(m, "teacher_tp", run->teacher_tp);
  }
  rt_metrics_real(m, "time_s", p->before_s);
  return rt_metrics_end(m);
}

static rt_err open_metrics(rt_progress *p, const char *folder,
                           const rt_hosts *hosts)
{
  char path[RT_PATH_MAX];
  if (rt_comm_rank(p->spec.world) != 0 || folder[0] == '\0')
    return RT_OK;
  RT_TRY(rt_path_join(path, folder, "metrics.jsonl"));
  RT_TRY(rt_metrics_open(path, p->step > 0 ? p->step : -1, &p->metrics));
  p->before_s = rt_metrics_time(p->metrics);
  return put_start(p, hosts);
}

/** Seconds over all starts. */
static double time_of(const rt_progress *p)
{
  return p->before_s + rt_now_s() - p->spec.phases->began;
}

rt_err rt_progress_init(rt_progress *p, const rt_progress_spec *spec,
                        const char *folder, int64_t step)
{
  rt_hosts hosts;
  *p =
      (rt_progress){.spec = *spec,
                    .step = step,
                    .since = rt_now_s(),
                    .input_s = rt_phases_seconds(spec->phases, RT_PHASE_INPUT)};
  RT_TRY(rt_hosts_find(spec->world, &hosts));
  return rt_agree(spec->world, open_metrics(p, folder, &hosts));
}

void rt_progress_clear(rt_progress *p)
{
  rt_metrics_close(&p->metrics);
}

double rt_progress_gflops(const rt_progress *p, int64_t step)
{
  const double s = rt_now_s() - p->since - p->paused;
  const double each = 1e-9 * p->spec.flops / rt_comm_size(p->spec.world);
  return s > 0.0 ? each * (double)(step - p->step) / s : 0.0;
}

double rt_progress_wait(const rt_progress *p)
{
  const double s = rt_now_s() - p->since - p->paused;
  const double input_s =
      rt_phases_seconds(p->spec.phases, RT_PHASE_INPUT) - p->input_s;
  return s > 0.0 ? fmin(input_s / s, 1.0) : 0.0;
}

void rt_progress_pause(rt_progress *p, double since)
{
  p->paused += rt_now_s() - since;
}

bool rt_progress_owes(const rt_progress *p, int64_t step)
{
  return p->metrics != NULL && rt_metrics_evaluated(p->metrics) < step;
}

rt_err rt_progress_step(rt_progress *p, int64_t step, const rt_step_result *r)
{
  rt_metrics *m = p->metrics;
  if (m == NULL)
    return RT_OK;
  rt_metrics_begin(m, "train", step);
  rt_metrics_int(m, "tokens", step * p->spec.tokens_per_step);
  rt_metrics_real(m, "loss", r->loss);
  rt_metrics_real(m, "lm", r->lm);
  rt_metrics_real(m, "kd", r->kd);
  rt_metrics_real(m, "alpha", r->alpha);
  rt_metrics_real(m, "lr", r->lr);
  rt_metrics_real(m, "grad_norm", r->grad_norm);
  rt_metrics_real(m, "entries", r->entries);
  rt_metrics_int(m, "bad", r->bad ? 1 : 0);
  rt_metrics_real(m, "time_s", time_of(p));
  return rt_metrics_end(m);
}

/** Format 12331 as "12,331". */
static void with_commas(double x, char *text, size_t n)
{
  char digits[32];
  snprintf(digits, sizeof digits, "%.0f", x);
  const size_t len = strlen(digits);
  size_t at = 0;
  for (size_t i = 0; i < len && at + 2 < n; i++) {
    if (i > 0 && (len - i) % 3 == 0)
      text[at++] = ',';
    text[at++] = digits[i];
  }
  text[at] = '\0';
}

/** Format a duration: "45s", "12m05s", "3h12m", "2d04h". */
static void duration(double s, char *text, size_t n)
{
  const long long all = s < 0.0 ? 0 : (long long)(s + 0.5);
  if (all < 60)
    snprintf(text, n, "%llds", all);
  else if (all < 3600)
    snprintf(text, n, "%lldm%02llds", all / 60, all % 60);
  else if (all < 86400)
    snprintf(text, n, "%lldh%02lldm", all / 3600, all / 60 % 60);
  else
    snprintf(text, n, "%lldd%02lldh", all / 86400, all / 3600 % 24);
}

/** The middle of the line: with a teacher it shows the parts of the loss, and
 *  alpha. */
static void middle_of(const rt_progress_spec *run, const rt_step_result *r,
                      char *text, size_t n)
{
  if (!run->has_kd)
    snprintf(text, n, "lr %.2e", r->lr);
  else
    snprintf(text, n, "(lm %.3f kd %.3f) lr %.2e alpha %.2f", r->lm, r->kd,
             r->lr, r->alpha);
}

/** Format the model FLOP/s achieved, and their fraction of the peak of all
 *  ranks (MFU). */
static void work_of(const rt_progress *p, double step_s, char *text, size_t n)
{
  const double tflops = p->spec.flops / step_s * 1e-12;
  const double peak = p->spec.peak->gflops * 1e-3 * rt_comm_size(p->spec.world);
  const int used = snprintf(
      text, n, tflops < 100.0 ? "%.3g TFLOP/s" : "%.0f TFLOP/s", tflops);
  if (peak > 0.0)
    snprintf(text + used, n - (size_t)used, " %.1f%% MFU",
             fmin(100.0 * tflops / peak, 100.0));
}

/** Format the speed: "57,573 tok/s (28,786 a rank)". */
static void speed_of(const rt_progress_spec *run, double step_s, char *text,
                     size_t n)
{
  char all[32], each[32];
  const double speed = (double)run->tokens_per_step / step_s;
  with_commas(speed, all, sizeof all);
  with_commas(speed / rt_comm_size(run->world), each, sizeof each);
  snprintf(text, n, "%s tok/s (%s a rank)", all, each);
}

void rt_progress_line(rt_progress *p, int64_t step, const rt_step_result *r,
                      double rss_bytes, double wait)
{
  const rt_progress_spec *const run = &p->spec;
  const double now_s = rt_now_s();
  const double n_steps = (double)(step - p->step);
  const double step_s = (now_s - p->since - p->paused) / n_steps;
  char speed[96], eta[32], middle[128], work[64];
  // exponential average: follows changes of speed without jumping
  p->step_s = p->step_s > 0.0 ? 0.5 * (p->step_s + step_s) : step_s;
  speed_of(run, step_s, speed, sizeof speed);
  duration(p->step_s * (double)(run->n_steps - step), eta, sizeof eta);
  middle_of(run, r, middle, sizeof middle);
  work_of(p, step_s, work, sizeof work);
  rt_info_now("step %lld/%lld %.1f%% loss %.4f %s gnorm %.3f %s %s "
              "%.2f GiB wait %.1f%% ETA %s%s",
              (long long)step, (long long)run->n_steps,
              100.0 * (double)step / (double)run->n_steps, r->loss, middle,
              r->grad_norm, speed, work, rss_bytes * 0x1p-30, 100.0 * wait, eta,
              r->bad ? " BAD: skipped" : "");
  p->step = step;
  p->since = now_s;
  p->paused = 0.0;
  p->input_s = rt_phases_seconds(run->phases, RT_PHASE_INPUT);
}

rt_err rt_progress_eval(rt_progress *p, int64_t step, const rt_eval_result *r)
{
  char teacher[64] = "";
  if (r->with_teacher)
    snprintf(teacher, sizeof teacher, " KL %.4f agree %.1f%%", r->kl,
             100.0 * r->agree);
  rt_info_now(
      "evaluation at step %lld: loss %.4f ppl %.2f top-1 %.1f%% ECE %.3f%s "
      "(%lld tokens)",
      (long long)step, r->loss, r->ppl, 100.0 * r->top1, r->ece, teacher,
      (long long)r->tokens);
  rt_metrics *m = p->metrics;
  if (m == NULL)
    return RT_OK;
  rt_metrics_begin(m, "eval", step);
  rt_metrics_int(m, "tokens", r->tokens);
  rt_metrics_real(m, "loss", r->loss);
  rt_metrics_real(m, "ppl", r->ppl);
  rt_metrics_real(m, "top1", r->top1);
  rt_metrics_real(m, "ece", r->ece);
  if (r->with_teacher) {
    rt_metrics_real(m, "kl", r->kl);
    rt_metrics_real(m, "agree", r->agree);
  }
  return rt_metrics_end(m);
}

rt_err rt_progress_end(rt_progress *p, int64_t step, const char *how,
                       const rt_phase_table *table, const rt_run_counts *counts)
{
  rt_metrics *m = p->metrics;
  if (m == NULL)
    return RT_OK;
  rt_metrics_begin(m, "end", step);
  rt_metrics_text(m, "how", how);
  rt_metrics_real(m, "time_s", time_of(p));
  rt_metrics_real(m, "sent_bytes_per_step", counts->sent_bytes);
  rt_metrics_real(m, "host_waits_per_step", counts->device.host_waits);
  rt_metrics_int(m, "drains", counts->device.drains);
  rt_metrics_real(m, "optimizer_launches_per_step",
                  counts->device.optimizer_launches);
  for (int i = 0; i < RT_PHASE_LINES; i++) {
    const double over_ranks[] = {table->min[i], table->avg[i], table->max[i]};
    rt_metrics_reals(m, rt_phase_line_name(i), over_ranks, 3);
  }
  RT_TRY(rt_metrics_end(m));
  return rt_metrics_sync(m);
}
