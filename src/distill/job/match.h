/** \file match.h
 *  Does a dataset belong to the corpus and tokenizer of a run?  Layer: distill.
 */
#ifndef RT_MATCH_H
#define RT_MATCH_H

#include "distill/job/job.h"

enum { RT_MATCH_TEXT = 256 };

/** Tokenizer, corpus and split of job->dataset against those of the run:
 *  RT_ERR_CONFIG with both hashes and the first row whose ids differ.  Reads
 *  all of data.files; rows only when something differs.  One rank. */
RT_MUST rt_err rt_match_dataset(const rt_job *job);
/** Row \a i of \a ds, which was read into \a stored, against \a corpus, whose
 *  rows are as long.  Thread-safe.
 *  \param tok  [T + 1] to work in  \param where  how they differ, "": they are
 *  equal */
RT_MUST rt_err rt_match_row(const rt_logits *ds, int64_t i,
                            const rt_logits_row *stored,
                            const rt_corpus *corpus, uint32_t *tok,
                            char where[RT_MATCH_TEXT]);

#endif
