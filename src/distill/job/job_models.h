/** \file job_models.h
 *  The models of a job.  Layer: distill/job.  Not collective. */
#ifndef RT_JOB_MODELS_H
#define RT_JOB_MODELS_H

#include "distill/job/job.h"

/** Set job->arch_t from teacher.weights, checked against tokenizer, rows and
 *  tp. */
RT_MUST rt_err rt_job_read_teacher(rt_job *job);
/** Set job->arch_s from student.weights, student.config or student.*; its
 *  vocabulary must be that of the targets (teacher or dataset), which must be
 *  known. */
RT_MUST rt_err rt_job_read_student(rt_job *job);

/** The student of micro_rows rows, for forward passes only; the caller sets
 *  `train` to train it.  Borrows from \a job. */
rt_model_spec rt_job_student(const rt_job *job);

#endif
