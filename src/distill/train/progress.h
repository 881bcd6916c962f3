/** \file progress.h
 *  Progress of a training run: one log line per interval, and a line of
 *  metrics.jsonl per step.  Layer: distill. */
#ifndef RT_PROGRESS_H
#define RT_PROGRESS_H

#include "distill/eval/evaluate.h"
#include "distill/train/peak.h"
#include "distill/train/step.h"
#include "io/run/metrics.h"

/** The run as its lines describe it; everything is borrowed. */
typedef struct rt_progress_spec {
  const rt_comm *world;
  const rt_phases *phases;
  const rt_peak *peak; /**< of one rank; may change */
  double flops;        /**< of one step, over all ranks */
  int64_t n_steps, tokens_per_step;
  int threads; /**< of a rank */
  int dp, tp;
  int teacher_dp, teacher_tp; /**< 0: no teacher is loaded */
  bool has_kd;                /**< the loss has a part of a teacher */
} rt_progress_spec;

/** Caller's storage; members are private to progress.c. */
typedef struct rt_progress {
  rt_progress_spec spec;
  rt_metrics *metrics; // owned; NULL except on rank 0 of a run with a folder
  int64_t step;        // step of the last line
  double since,
      paused;      // time of that line; seconds since then not spent training
  double before_s; // seconds of earlier starts
  double input_s;  // seconds waited for input up to the last line
  double step_s;   // recent seconds per step, 0 before the first line
} rt_progress;

/** Rank 0 opens \a folder/metrics.jsonl ("": none), removes lines after \a
 *  step, which will be written again, and records the start.  Collective. */
RT_MUST rt_err rt_progress_init(rt_progress *p, const rt_progress_spec *spec,
                                const char *folder, int64_t step);
void rt_progress_clear(rt_progress *p);

/** Do the metrics lack an evaluation at \a step, from which the run resumes?
 *  On rank 0 of a run with a folder; false elsewhere. */
bool rt_progress_owes(const rt_progress *p, int64_t step);

/** GFLOP/s of a rank since the last line, up to \a step completed steps; 0 if
 *  there were none. */
double rt_progress_gflops(const rt_progress *p, int64_t step);
/** Fraction of time since the last line that this rank waited for input. */
double rt_progress_wait(const rt_progress *p);
/** The time from \a since until now was not spent training (evaluation,
 *  checkpoint). */
void rt_progress_pause(rt_progress *p, double since);

/** Write the metrics of step \a step (counted from 1).  Rank 0 may fail. */
RT_MUST rt_err rt_progress_step(rt_progress *p, int64_t step,
                                const rt_step_result *r);
/** Print a line, and start a new interval.  \a rss_bytes and \a wait: maximum
 *  over ranks. */
void rt_progress_line(rt_progress *p, int64_t step, const rt_step_result *r,
                      double rss_bytes, double wait);
RT_MUST rt_err rt_progress_eval(rt_progress *p, int64_t step,
                                const rt_eval_result *r);
/** Means per step since the start. */
typedef struct rt_run_counts {
  double sent_bytes; /**< of gradients and weights, by the busiest rank, over
                        dp */
  rt_step_counts device;
} rt_run_counts;
/** Write the last line of the metrics, and sync to disk. */
RT_MUST rt_err rt_progress_end(rt_progress *p, int64_t step, const char *how,
                               const rt_phase_table *table,
                               const rt_run_counts *counts);

#endif
