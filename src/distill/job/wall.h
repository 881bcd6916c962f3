/** \file wall.h
 *  The wall limit of a run.  Layer: distill. */
#ifndef RT_WALL_H
#define RT_WALL_H

#include "distill/job/job.h"

/** The time, as rt_now_s() on this rank, by which the run must have stopped:
 *  run.wall_margin_s before the limit, which is run.wall_s after the start of
 *  the job, or else what Slurm says (SLURM_JOB_END_TIME, or squeue, called by
 *  rank 0; the margin is then at most half of the time); 0: no limit.  Warns if
 *  Slurm does not answer.  RT_ERR_CONFIG: no time is left for a step.
 *  Collective; errors are agreed upon. */
RT_MUST rt_err rt_wall_end(const rt_job *job, double *end_s);

#endif
