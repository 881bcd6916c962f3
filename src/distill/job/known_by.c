/** \file known_by.c */
#include "distill/job/known_by.h"

#include "base/log.h"
#include "io/hf/safetensors.h"
#include "io/logits/logits.h"

/** Broadcast a hash that rank 0 has computed. */
static rt_err share(const rt_comm *world, rt_err err, char hex[RT_SHA256_HEX])
{
  RT_TRY(rt_agree(world, err));
  return rt_comm_bcast(world, hex, RT_SHA256_HEX, 0);
}

rt_err rt_known_corpus(const rt_comm *world, int64_t version,
                       const rt_corpus *corpus, char hex[RT_SHA256_HEX])
{
  if (version >= RT_LOGITS_DIGESTS)
    return rt_corpus_digest(rt_comm_mpi(world), corpus, hex);
  rt_info(
      "the dataset has format version %lld: one rank hashes the whole corpus "
      "at every start. Capture it again in the current version, where all "
      "ranks share this work and the hashes are cached",
      (long long)version);
  const bool reads = rt_comm_rank(world) == 0;
  return share(world, reads ? rt_corpus_hash(corpus, hex) : RT_OK, hex);
}

rt_err rt_known_weights(const rt_comm *world, int64_t version,
                        const char *folder, char hex[RT_SHA256_HEX])
{
  if (version >= RT_LOGITS_DIGESTS)
    return rt_safetensors_digest(rt_comm_mpi(world), folder, hex);
  const bool reads = rt_comm_rank(world) == 0;
  return share(world, reads ? rt_safetensors_hash(folder, hex) : RT_OK, hex);
}
