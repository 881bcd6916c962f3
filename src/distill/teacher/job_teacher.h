/** \file job_teacher.h
 *  The teacher that the deck of a job asks for.  Layer: distill/teacher.  Not
 *  collective.  The results borrow from the job. */
#ifndef RT_JOB_TEACHER_H
#define RT_JOB_TEACHER_H

#include "distill/job/job.h"
#include "distill/teacher/teacher.h"

/** The model of teacher.weights beside the job's student. */
rt_teacher_model rt_job_teacher_model(const rt_job *job);
/** The teacher of the training targets.  Warns about keys that were set but
 *  have no effect, and refuses those that contradict each other. */
RT_MUST rt_err rt_job_teacher(rt_job *job, rt_teacher_spec *out);

#endif
