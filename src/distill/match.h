/** \file match.h
 *  Does a dataset belong to the corpus and tokenizer of a run?  Layer: distill.
 */
#ifndef RT_MATCH_H
#define RT_MATCH_H

#include "distill/job.h"

/** Tokenizer, corpus and split of job->dataset against those of the run:
 *  RT_ERR_CONFIG with both hashes and the first row whose ids differ.  Reads
 *  all of data.files; rows only when something differs.  One rank. */
RT_MUST rt_err rt_match_dataset(const rt_job *job);

#endif
