/** \file job_capture.h
 *  The captures that the deck of a job asks for.  Layer: distill/capture.  Not
 *  collective, unless it says so. */
#ifndef RT_JOB_CAPTURE_H
#define RT_JOB_CAPTURE_H

#include "distill/capture/capture_teacher.h"
#include "distill/capture/window_capture.h"
#include "distill/job/job.h"

/** The part of the description of a dataset that determines its size: length of
 *  rows, truncation rule, encoding, rows per shard (0: see
 *  rt_capture_complete). */
void rt_job_capture_rule(const rt_job *job, rt_logits_info *info);
/** The rule, and everything else that deck and corpus determine.  The caller
 *  sets rows, vocabulary, teacher and hashes (rt_capture_identify), then calls
 *  rt_capture_complete.  Warns about keys that have no effect. */
void rt_job_capture_info(const rt_job *job, rt_logits_info *info);
/** Rows [*first, *first + *n) of the training stream, as the deck asks. */
RT_MUST rt_err rt_job_capture_range(const rt_job *job, int64_t *first,
                                    int64_t *n);
/** Plan the teacher of a capture or count with the rule, draws and fields of \a
 *  info.  The caller clears \a t, also after an error.  Collective. */
RT_MUST rt_err rt_job_capture_teacher(rt_job *job, const rt_logits_info *info,
                                      rt_capture_teacher *t);
/** Would the job's plan with \a more bytes on this rank fit?  Collective. */
RT_MUST rt_err rt_job_capture_fits(const rt_job *job,
                                   const rt_capture_teacher *t, double more,
                                   bool *fits);
/** Print the plan, and refuse one that does not fit.  Collective. */
RT_MUST rt_err rt_job_capture_check(const rt_job *job,
                                    const rt_capture_teacher *t);
/** The capture of the model in training; its window has no steps if the deck
 *  has none.  Borrows from the job. */
RT_MUST rt_err rt_job_window_capture(rt_job *job, rt_window_capture_spec *out);

#endif
