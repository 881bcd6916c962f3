/** \file known_by.h
 *  Hashes that identify large inputs in a dataset.  Layer: distill.
 *
 *  In version 3 these are hashes of whole files, which rank 0 reads; since then
 *  hashes of their digests (io/common/digest.h), which the ranks compute
 *  together and cache.  Collective; every rank gets the same result. */
#ifndef RT_KNOWN_BY_H
#define RT_KNOWN_BY_H

#include "distill/job/job.h"

RT_MUST rt_err rt_job_corpus_hash(const rt_job *job, int64_t version,
                                  char hex[RT_SHA256_HEX]);
/** The hash of the weights in a Hugging Face folder. */
RT_MUST rt_err rt_job_weights_hash(const rt_job *job, int64_t version,
                                   const char *folder, char hex[RT_SHA256_HEX]);

#endif
