/** \file wall.h
 *  When a run must be gone.  Layer: distill. */
#ifndef RT_WALL_H
#define RT_WALL_H

#include "distill/job/job.h"

/** The time on this rank's rt_now_s at which to have stopped, run.wall_margin_s
 *  before the limit: run.wall_s after the job began, else what Slurm says
 *  (SLURM_JOB_END_TIME, or squeue, which rank 0 asks; then the margin is at
 * most half of the time); 0 when there is no limit.  A Slurm that gives no
 * answer is warned of.  RT_ERR_CONFIG: no time is left for a step.  Collective;
 * errors are agreed upon. */
RT_MUST rt_err rt_wall_end(const rt_job *job, double *end_s);

#endif
