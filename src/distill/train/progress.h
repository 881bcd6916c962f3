/** \file progress.h
 *  What a person and a plot see of a training run: one line per interval, and
 *  metrics.jsonl with a line per step.  Layer: distill. */
#ifndef RT_PROGRESS_H
#define RT_PROGRESS_H

#include "distill/eval/evaluate.h"
#include "distill/train/step.h"
#include "io/run/metrics.h"

/** Caller's storage; members are private to progress.c. */
typedef struct rt_progress {
  const rt_job *job;    // borrowed
  rt_metrics *metrics;  // owned, NULL but on rank 0 of a run with a folder
  double flops;         // of one step, all ranks together
  double peak_gflops;   // of one rank; 0: not known
  int64_t step;         // of the last line
  double since, paused; // when that was; seconds since then beside training
  double before_s;      // seconds of earlier starts
  double input_s;       // seconds waited for input until then
  double step_s;        // recent seconds of a step, 0 before the first line
} rt_progress;

/** Rank 0 opens \a folder/metrics.jsonl ("": none), drops lines after \a step,
 *  which will be written again, and says who goes on from there.  Collective.
 */
RT_MUST rt_err rt_progress_init(rt_progress *p, const rt_job *job,
                                const char *folder, int64_t step,
                                double peak_gflops);
void rt_progress_clear(rt_progress *p);

/** Do the metrics lack an evaluation at \a step, where the run goes on?  On
 * rank 0 of a run with a folder; false elsewhere. */
bool rt_progress_owes(const rt_progress *p, int64_t step);

/** FLOPs of one step over all ranks: student forward and backward, live
 *  teacher's forward. */
double rt_progress_flops(const rt_job *job);

/** Share of time since the last line that this rank waited for input. */
double rt_progress_wait(const rt_progress *p);
/** Time from \a since until now was not training (evaluation, checkpoint). */
void rt_progress_pause(rt_progress *p, double since);

/** The metrics of step number \a step (counted from 1).  Rank 0 may fail. */
RT_MUST rt_err rt_progress_step(rt_progress *p, int64_t step,
                                const rt_step_result *r);
/** The line; starts a new interval.  \a rss_bytes and \a wait: largest over
 *  ranks. */
void rt_progress_line(rt_progress *p, int64_t step, const rt_step_result *r,
                      double rss_bytes, double wait);
RT_MUST rt_err rt_progress_eval(rt_progress *p, int64_t step,
                                const rt_eval_result *r);
/** The last line of the metrics, on disk when this returns. */
RT_MUST rt_err rt_progress_end(rt_progress *p, int64_t step, const char *how,
                               const rt_phase_table *table);

#endif
