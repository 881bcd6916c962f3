/** \file run_bench.h
 *  `retort bench`: times parts of a deck's training step in isolation, for
 *  comparison with the whole step.
 *
 *  Layer: distill.  Each prints one line, "bench PART: ...", on rank 0. */
#ifndef RT_RUN_BENCH_H
#define RT_RUN_BENCH_H

#include "distill/job/job.h"

/** Seconds of the matrix products of one step (forward, both gradients, the
 *  head without chunks, no attention), with nothing in between.  Collective. */
RT_MUST rt_err rt_run_bench_gemm(rt_job *job);

/** Seconds of the live teacher's forward over the rows of one step, with its
 *  head for teacher.target=full, and with head and truncation for sparse.
 *  Collective. */
RT_MUST rt_err rt_run_bench_teacher(rt_job *job);

/** MiB that the loss needs in addition to inputs (hidden states, head,
 *  targets), d_hidden and the head's gradient: planned, and measured as growth
 *  of resident memory while it runs once; and nanoseconds per token and id of
 *  this rank's share of the vocabulary.  Collective. */
RT_MUST rt_err rt_run_bench_loss(rt_job *job);

#endif
