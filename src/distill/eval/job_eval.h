/** \file job_eval.h
 *  The evaluation that the deck of a job asks for.  Layer: distill/eval. */
#ifndef RT_JOB_EVAL_H
#define RT_JOB_EVAL_H

#include "distill/eval/evaluate.h"
#include "distill/job/job.h"

/** Plan an evaluator of \a student on the job's corpus, with the teacher if
 *  eval.teacher says so, and count its memory.  RT_ERR_CONFIG without a corpus,
 *  or if the two models have different ids.  The caller destroys it, also after
 *  an error.  Collective. */
RT_MUST rt_err rt_job_evaluator(rt_job *job, rt_model *student,
                                rt_evaluator **out);

#endif
