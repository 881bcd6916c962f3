/** \file peak.h
 *  Peak performance of a rank, for MFU.  Layer: distill. */
#ifndef RT_PEAK_H
#define RT_PEAK_H

#include "distill/job/job.h"

/** GFLOP/s of one rank: run.peak_gflops, or else that of a matrix product on
 *  all ranks at once, measured if the user's cache has no value for this
 *  machine and layout.  Prints which.  Call before the job's arenas are
 *  allocated; takes about a quarter of a second.  Collective; errors are agreed
 *  upon. */
RT_MUST rt_err rt_peak_find(const rt_job *job, double *out_gflops);

#endif
