/** \file job_inputs.h
 *  The corpus named by a deck, and the requirements of a job on a dataset.
 *  Layer: distill/job.  Not collective. */
#ifndef RT_JOB_INPUTS_H
#define RT_JOB_INPUTS_H

#include "distill/job/job.h"

/** Open the files of \a spec, or those of data.files if it has none, blended by
 *  data.weights; the rest as \a spec says.  RT_ERR_CONFIG for contradictory
 *  keys. */
RT_MUST rt_err rt_open_corpus(const rt_deck *deck, rt_corpus_spec spec,
                              rt_corpus **out);
/** How the deck divides its corpus into rows; the files are the deck's. */
rt_corpus_spec rt_job_corpus_spec(const rt_job *job);
/** Draws are used unchanged as targets (unbiased at tau 1): reject another
 *  loss.tau, teacher.top_p or top_k.
 *  \param where  source of the draws, for messages */
RT_MUST rt_err rt_job_check_draws(const rt_deck *d, const char *where);
/** Check that job->dataset can provide what the deck requests; set how its rows
 *  and vocabulary are cut. */
RT_MUST rt_err rt_job_check_dataset(rt_job *job);
/** What teacher.row_cut means for what the student sees, as text; "" for whole
 *  rows. */
const char *rt_job_cut_means(const rt_job *job);
/** Count the rows of the training stream in use: those that exist, limited by
 *  data.rows. */
RT_MUST rt_err rt_job_count_rows(rt_job *job);

/** data.bos_at, or nowhere without data.bos. */
rt_bos_at rt_deck_bos_at(const rt_deck *deck);

#endif
