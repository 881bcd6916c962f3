/** \file run_parts.h
 *  Trainer and evaluator of a training run, planned together.  Layer:
 *  distill/run. */
#ifndef RT_RUN_PARTS_H
#define RT_RUN_PARTS_H

#include "distill/eval/evaluate.h"
#include "distill/job/job_memory.h"
#include "distill/train/save.h"
#include "distill/train/trainer.h"

typedef struct rt_run_parts {
  rt_trainer *trainer;     // owned
  rt_evaluator *evaluator; // owned, NULL without evaluation
  int64_t eval_rows;       /**< held-out rows per evaluation */
  rt_save_how saving;      /**< meanwhile only if memory allows */
} rt_run_parts;
/** Plan both, print what \a show says, and reject a plan that cannot fit.
 *  Nothing is allocated; the caller clears *out, also after an error.
 *  Collective. */
RT_MUST rt_err rt_run_parts_plan(rt_job *job, rt_plan_show show,
                                 rt_run_parts *out);
void rt_run_parts_clear(rt_run_parts *parts);

#endif
