/** \file run_bench.h
 *  `retort bench`: parts of a deck's training step, each alone, so that a
 *  step's time and memory can be compared with what they must be at least.
 *
 *  Layer: distill.  Each prints one line, "bench PART: ...", on rank 0. */
#ifndef RT_RUN_BENCH_H
#define RT_RUN_BENCH_H

#include "distill/job/job.h"

/** Seconds of the matrix products of one step (forward, both gradients, the
 *  head without chunks, no attention), nothing between them.  Collective. */
RT_MUST rt_err rt_run_bench_gemm(rt_job *job);

/** Seconds of the live teacher's forward over the rows of one step; with
 *  teacher.target full its head too, with sparse its head and truncation.
 *  Collective. */
RT_MUST rt_err rt_run_bench_teacher(rt_job *job);

/** MiB that the loss needs beyond inputs (hidden states, head, targets),
 *  d_hidden and the head's gradient: planned, and seen as growth of resident
 *  memory while it runs once.  Collective. */
RT_MUST rt_err rt_run_bench_loss(rt_job *job);

#endif
