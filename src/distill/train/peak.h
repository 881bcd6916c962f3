/** \file peak.h
 *  What a rank can compute at best, for MFU.  Layer: distill. */
#ifndef RT_PEAK_H
#define RT_PEAK_H

#include "distill/job/job.h"

/** GFLOP/s of one rank: run.peak_gflops, else of a matrix product on all ranks
 *  at once, measured when the user's cache does not know it for this machine
 *  and layout.  Says which.  Before the job's arenas are there; takes about a
 *  quarter of a second.  Collective; errors are agreed upon. */
RT_MUST rt_err rt_peak_find(const rt_job *job, double *out_gflops);

#endif
