/** \file same_inputs.c
 *  Inputs may be on node-local disks: detect copies that are outdated,
 *  truncated or of other files. */
#include "distill/job/same_inputs.h"

#include "base/file.h"
#include "io/common/digest.h"
#include "io/hf/safetensors.h"

#include <stdlib.h>
#include <string.h>

// numbers of 4 KiB samples over all files of a kind
enum { MOST_LOOKS = 256, LEAST_LOOKS = 3 };

rt_err rt_job_same(const rt_comm *comm, uint64_t hash, const char *what)
{
  uint64_t first = hash;
  RT_TRY(rt_comm_bcast(comm, &first, sizeof first, 0));
  const rt_err err =
      hash == first ? RT_OK
                    : RT_FAIL(RT_ERR_DATA,
                              "%s differs from rank 0's file: all ranks must "
                              "read the same data; copy it to this host again",
                              what);
  return rt_agree(comm, err);
}

static void add(uint64_t *hash, uint64_t more)
{
  const uint64_t part[] = {*hash, more};
  *hash = rt_hash_xxh3(part, sizeof part);
}

static int looks(int n_files)
{
  return n_files * LEAST_LOOKS < MOST_LOOKS ? MOST_LOOKS / n_files
                                            : LEAST_LOOKS;
}

/** Compare each file separately, so that the message can name it. */
static rt_err same_corpus(const rt_job *job)
{
  const int n = rt_corpus_n_paths(job->corpus);
  for (int i = 0; i < n; i++) {
    const char *const path = rt_corpus_path(job->corpus, i);
    uint64_t hash = 0;
    if (path[0] == '\0')
      continue;
    RT_TRY(rt_agree(job->world, rt_file_sample(path, looks(n), &hash)));
    RT_TRY(rt_job_same(job->world, hash, path));
  }
  return RT_OK;
}

static rt_err sample_weights(const char *folder, uint64_t *hash)
{
  rt_safetensors *st;
  rt_err err = rt_safetensors_open(folder, &st);
  // reported by the rank that loads them; other ranks may not need them
  if (err == RT_ERR_NOINPUT)
    return RT_OK;
  RT_TRY(err);
  const int n = rt_safetensors_n_files(st);
  for (int i = 0; err == RT_OK && i < n; i++) {
    uint64_t one = 0;
    err = rt_file_sample(rt_safetensors_file(st, i), looks(n), &one);
    add(hash, one);
  }
  rt_safetensors_close(&st);
  return err;
}

/** Sample config.json, and the weights if they are used. */
static rt_err sample_model(const char *path, bool weights, uint64_t *hash)
{
  char file[RT_PATH_MAX], *text;
  size_t n = 0;
  RT_TRY(rt_path_join(file, rt_folder_exists(path) ? path : "",
                      rt_folder_exists(path) ? "config.json" : path));
  RT_TRY(rt_file_slurp(file, 4 << 20, &text, &n));
  add(hash, rt_hash_xxh3(text, n));
  free(text);
  return weights ? sample_weights(path, hash) : RT_OK;
}

static rt_err same_model(const rt_job *job, rt_key key, bool weights)
{
  const char *const path = rt_deck_text(job->deck, key);
  uint64_t hash = 0;
  if (path[0] == '\0')
    return RT_OK;
  RT_TRY(rt_agree(job->world, sample_model(path, weights, &hash)));
  return rt_job_same(job->world, hash, path);
}

rt_err rt_job_same_inputs(const rt_job *job)
{
  const char *const tokenizer = rt_deck_text(job->deck, RT_KEY_DATA_TOKENIZER);
  if (rt_comm_size(job->world) == 1)
    return RT_OK;
  if ((job->needs & RT_NEED_STUDENT) != 0) {
    RT_TRY(same_model(job, RT_KEY_STU_WEIGHTS, true));
    RT_TRY(same_model(job, RT_KEY_STU_CONFIG, false));
  }
  if ((job->needs & RT_NEED_TEACHER) != 0)
    RT_TRY(same_model(job, RT_KEY_TEA_WEIGHTS, true));
  if (tokenizer[0] != '\0')
    RT_TRY(rt_job_same(
        job->world,
        rt_hash_xxh3(job->tokenizer_hash, strlen(job->tokenizer_hash)),
        tokenizer));
  return job->corpus != NULL ? same_corpus(job) : RT_OK;
}
