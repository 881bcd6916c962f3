/** \file same_inputs.h
 *  Do all ranks see the same files?  Layer: distill. */
#ifndef RT_SAME_INPUTS_H
#define RT_SAME_INPUTS_H

#include "distill/job/job.h"

/** Compare models, tokenizer and corpus as seen by every rank: sizes, and
 *  samples of blocks.  (The rows of a dataset are verified by hashes that all
 *  ranks received from one rank.)  Collective. */
RT_MUST rt_err rt_job_same_inputs(const rt_job *job);

#endif
