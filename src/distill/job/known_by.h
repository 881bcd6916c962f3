/** \file known_by.h
 *  Hashes that identify large inputs in a dataset.  Layer: distill.
 *
 *  In version 3 these are hashes of whole files, which rank 0 reads; since then
 *  hashes of their digests (io/common/digest.h), which the ranks compute
 *  together and cache.  Collective; every rank gets the same result. */
#ifndef RT_KNOWN_BY_H
#define RT_KNOWN_BY_H

#include "io/corpus/corpus.h"
#include "par/comm.h"

/** The hash of a corpus, in a dataset of format \a version. */
RT_MUST rt_err rt_known_corpus(const rt_comm *world, int64_t version,
                               const rt_corpus *corpus,
                               char hex[RT_SHA256_HEX]);
/** The hash of the weights in a Hugging Face folder. */
RT_MUST rt_err rt_known_weights(const rt_comm *world, int64_t version,
                                const char *folder, char hex[RT_SHA256_HEX]);

#endif
