/** \file known_by.h
 *  What large inputs are known by in a dataset.  Layer: distill.
 *
 *  Of version 3, hashes of whole files, which rank 0 reads; since then, of
 *  their digests (io/common/digest.h), which the ranks make together and
 *  remember.  Collective; every rank gets the same. */
#ifndef RT_KNOWN_BY_H
#define RT_KNOWN_BY_H

#include "distill/job/job.h"

RT_MUST rt_err rt_job_corpus_hash(const rt_job *job, int64_t version,
                                  char hex[RT_SHA256_HEX]);
/** Of a Hugging Face folder. */
RT_MUST rt_err rt_job_weights_hash(const rt_job *job, int64_t version,
                                   const char *folder, char hex[RT_SHA256_HEX]);

#endif
