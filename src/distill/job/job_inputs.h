/** \file job_inputs.h
 *  The corpus that a deck names, and what a job asks of a dataset.
 *  Layer: distill/job.  Not collective. */
#ifndef RT_JOB_INPUTS_H
#define RT_JOB_INPUTS_H

#include "distill/job/job.h"

/** Open the files of \a spec, or those of data.files when it has none, blended
 *  by data.weights; all else is as \a spec says.  RT_ERR_CONFIG when the keys
 *  do not fit together. */
RT_MUST rt_err rt_open_corpus(const rt_deck *deck, rt_corpus_spec spec,
                              rt_corpus **out);
/** How the deck makes rows of its corpus; its files are the deck's. */
rt_corpus_spec rt_job_corpus_spec(const rt_job *job);
/** Proportions of draws are the target as they are (unbiased at tau 1): refuse
 *  another loss.tau, teacher.top_p or top_k.  \param where  has the draws */
RT_MUST rt_err rt_job_check_draws(const rt_deck *d, const char *where);
/** What the deck asks of job->dataset, it must be able to give; how its rows
 *  and vocabulary are cut. */
RT_MUST rt_err rt_job_check_dataset(rt_job *job);
/** What teacher.row_cut does to what the student sees, for people; "" for whole
 *  rows. */
const char *rt_job_cut_means(const rt_job *job);
/** Rows of the training stream in use: what is there, cut by data.rows. */
RT_MUST rt_err rt_job_count_rows(rt_job *job);

/** data.bos_at, or nowhere without data.bos. */
rt_bos_at rt_deck_bos_at(const rt_deck *deck);

#endif
