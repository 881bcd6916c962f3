/** \file peak.h
 *  Peak performance of a rank, for MFU.  Layer: distill. */
#ifndef RT_PEAK_H
#define RT_PEAK_H

#include "par/comm.h"

/** What is measured; borrowed by each call. */
typedef struct rt_peak_spec {
  const rt_comm *world;
  rt_dev *dev;
  rt_dtype type;       /**< of the matrices */
  int threads;         /**< of this rank */
  double given_gflops; /**< run.peak_gflops; 0: measure */
} rt_peak_spec;

/** Peak of one rank. */
typedef struct rt_peak {
  double gflops;
  bool given;     /**< run.peak_gflops, not measured */
  bool corrected; /**< the run has exceeded the first value */
} rt_peak;

/** GFLOP/s of one rank: run.peak_gflops, or else that of a matrix product on
 *  all ranks at once, measured if the user's cache has no value for this
 *  machine and layout.  Prints which.  Call before arenas are allocated;
 *  takes about a quarter of a second.  Collective; errors are agreed
 *  upon. */
RT_MUST rt_err rt_peak_find(const rt_peak_spec *spec, rt_peak *peak);
/** The run reached \a gflops > peak->gflops, the same on all ranks: the cached
 *  value was measured on a busy machine.  The first time, measures again (the
 *  matrices are small, but not in the memory plan), caches the largest value
 *  measured, and says so.  The peak is at least \a gflops afterwards.
 *  Collective. */
RT_MUST rt_err rt_peak_exceeded(const rt_peak_spec *spec, double gflops,
                                rt_peak *peak);

#endif
