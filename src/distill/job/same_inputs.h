/** \file same_inputs.h
 *  Do all ranks see the same files?  Layer: distill. */
#ifndef RT_SAME_INPUTS_H
#define RT_SAME_INPUTS_H

#include "distill/job/job.h"

/** Compare what every rank sees of models, tokenizer and corpus: sizes, and
 *  blocks here and there.  (A dataset's rows are proved by hashes that all have
 *  from one rank.)  Collective. */
RT_MUST rt_err rt_job_same_inputs(const rt_job *job);

#endif
