/** \file known_by.c */
#include "distill/job/known_by.h"

#include "base/log.h"
#include "io/hf/safetensors.h"

/** Broadcast a hash that rank 0 has computed. */
static rt_err share(const rt_job *job, rt_err err, char hex[RT_SHA256_HEX])
{
  RT_TRY(rt_agree(job->world, err));
  return rt_comm_bcast(job->world, hex, RT_SHA256_HEX, 0);
}

rt_err rt_job_corpus_hash(const rt_job *job, int64_t version,
                          char hex[RT_SHA256_HEX])
{
  if (version >= RT_LOGITS_DIGESTS)
    return rt_corpus_digest(rt_comm_mpi(job->world), job->corpus, hex);
  rt_info(
      "the dataset has format version %lld: one rank hashes the whole corpus "
      "at every start. Capture it again in the current version, where all "
      "ranks share this work and the hashes are cached",
      (long long)version);
  const bool reads = rt_comm_rank(job->world) == 0;
  return share(job, reads ? rt_corpus_hash(job->corpus, hex) : RT_OK, hex);
}

rt_err rt_job_weights_hash(const rt_job *job, int64_t version,
                           const char *folder, char hex[RT_SHA256_HEX])
{
  if (version >= RT_LOGITS_DIGESTS)
    return rt_safetensors_digest(rt_comm_mpi(job->world), folder, hex);
  const bool reads = rt_comm_rank(job->world) == 0;
  return share(job, reads ? rt_safetensors_hash(folder, hex) : RT_OK, hex);
}
