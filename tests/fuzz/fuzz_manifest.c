/** \file fuzz_manifest.c
 *  libFuzzer target: manifest.json of a logit dataset from arbitrary bytes (its
 *  hash is assumed to match) is rejected, or describes a possible dataset,
 *  which is then written and read back unchanged. */
#include "io/logits/logits_manifest.h"
#include "support/must.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static void check(const rt_logits_manifest *m)
{
  rt_codec_spec spec;
  must(rt_logits_spec("taken", &m->info, &spec) == RT_OK, "a bad spec");
  must(m->n_shards == rt_logits_n_shards(&m->info), "number of shards");
  int64_t rows = 0;
  for (int64_t i = 0; i < m->n_shards; i++) {
    const int64_t n = rt_logits_shard_rows(&m->info, i);
    must(n > 0 && n <= m->info.shard_rows, "rows of a shard");
    must(!m->complete || m->shards[i].bytes > 0, "a shard without bytes");
    rows += n;
  }
  must(rows == m->info.n_rows, "rows of all shards");
  char folder[] = "/dev/shm/fuzz_manifest_XXXXXX", path[RT_PATH_MAX];
  rt_logits_manifest again;
  must(mkdtemp(folder) != NULL, "a folder");
  must(rt_logits_manifest_write(folder, m) == RT_OK, "it is not written");
  must(rt_logits_manifest_read(folder, &again) == RT_OK, "it is not read");
  char diff[512];
  rt_logits_info_diff(&m->info, &again.info, diff, sizeof diff);
  must(diff[0] == '\0' && strcmp(m->deck, again.deck) == 0 &&
           m->complete == again.complete &&
           strcmp(m->readme_sha256, again.readme_sha256) == 0 &&
           memcmp(m->shards, again.shards,
                  (size_t)m->n_shards * sizeof *m->shards) == 0,
       "another manifest comes back");
  rt_logits_manifest_clear(&again);
  must(rt_logits_manifest_path(path, folder) == RT_OK &&
           rt_path_remove(folder) == RT_OK,
       "the folder stays");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
  rt_logits_manifest m;
  if (rt_logits_manifest_parse("m", (const char *)data, n, &m) == RT_OK) {
    if (m.n_shards < 100) // more would only take longer
      check(&m);
    rt_logits_manifest_clear(&m);
  }
  must(m.deck == NULL && m.shards == NULL, "something stays after an error");
  return 0;
}
