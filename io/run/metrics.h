/** \file metrics.h
 *  Metrics as JSON lines.  Layer: io.  One object per line; NaN and Inf become
 *  null.  Written by one rank. */
#ifndef RT_METRICS_H
#define RT_METRICS_H

#include "base/err.h"
#include <stdint.h>

typedef struct rt_metrics rt_metrics;

/** Open for appending.  Lines whose "step" exceeds \a resume_step are removed
 *  (they will be written again); -1 keeps nothing.  A warning says which steps
 *  since the last "start" have no "train" line. */
RT_MUST rt_err rt_metrics_open(const char *path, int64_t resume_step,
                               rt_metrics **out);
/** Step of the last "eval" line found on opening, -1 if there was none. */
int64_t rt_metrics_evaluated(const rt_metrics *m);
/** The largest "time_s" found on opening, 0 if none: the time of earlier
 *  starts. */
double rt_metrics_time(const rt_metrics *m);
/** Start an object {"kind": kind, "step": step ...}. */
void rt_metrics_begin(rt_metrics *m, const char *kind, int64_t step);
void rt_metrics_real(rt_metrics *m, const char *name, double value);
/** Add a list of \a n numbers. */
void rt_metrics_reals(rt_metrics *m, const char *name, const double *values,
                      int n);
void rt_metrics_int(rt_metrics *m, const char *name, int64_t value);
void rt_metrics_text(rt_metrics *m, const char *name, const char *value);
/** End the object and write its line.  If it cannot be written (disk full,
 * say), it is kept, with one warning, and written before the next line that can
 * be.
 */
RT_MUST rt_err rt_metrics_end(rt_metrics *m);
/** Write what is kept, and fsync.  RT_ERR_IO: lines are missing. */
RT_MUST rt_err rt_metrics_sync(rt_metrics *m);
/** Write what is kept; a warning says what cannot be, unless rt_metrics_sync
 *  has. */
void rt_metrics_close(rt_metrics **m);

#endif
