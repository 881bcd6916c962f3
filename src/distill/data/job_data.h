/** \file job_data.h
 *  Parameters of batches and feeds from the deck of a job.  Layer:
 *  distill/data. */
#ifndef RT_JOB_DATA_H
#define RT_JOB_DATA_H

#include "distill/data/feed.h"
#include "distill/job/job.h"

/** The feed of this rank's rows from \a step on. */
rt_feed_spec rt_job_feed(const rt_job *job, int64_t step);
/** Memory in bytes of a batch of \a n_rows rows of \a job. */
size_t rt_job_batch_bytes(const rt_job *job, int64_t n_rows);
/** Create such a batch. */
RT_MUST rt_err rt_job_batch(const rt_job *job, int64_t n_rows, rt_batch **out);

#endif
