/** \file job_data.c */
#include "distill/data/job_data.h"

rt_rows rt_job_rows(const rt_job *job)
{
  return (rt_rows){.seq = job->seq,
                   .corpus = job->corpus,
                   .dataset = job->dataset,
                   .folder = rt_deck_text(job->deck, RT_KEY_TEA_DATASET),
                   .mask_documents =
                       rt_deck_bool(job->deck, RT_KEY_DATA_MASK_DOCS),
                   .first_row = job->first_row,
                   .pieces = job->pieces,
                   .vocab_cut = job->vocab_cut};
}

rt_feed_spec rt_job_feed(const rt_job *job, int64_t step)
{
  return (rt_feed_spec){.rows = rt_job_rows(job),
                        .group = job->grid_s.comm_tp,
                        .seed =
                            (uint64_t)rt_deck_int(job->deck, RT_KEY_RUN_SEED),
                        .n_rows = job->n_rows,
                        .batch_rows = job->batch_rows,
                        .rows_per_rank = job->rows_per_rank,
                        .micro_rows = job->micro_rows,
                        .i_dp = job->grid_s.i_dp,
                        .first_step = step,
                        .n_steps = job->n_steps};
}
