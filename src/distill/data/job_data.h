/** \file job_data.h
 *  Parameters of batches and feeds from the deck of a job.  Layer:
 *  distill/data. */
#ifndef RT_JOB_DATA_H
#define RT_JOB_DATA_H

#include "distill/data/feed.h"
#include "distill/job/job.h"

/** The rows of \a job, which it keeps open. */
rt_rows rt_job_rows(const rt_job *job);
/** The feed of this rank's rows from \a step on. */
rt_feed_spec rt_job_feed(const rt_job *job, int64_t step);

#endif
