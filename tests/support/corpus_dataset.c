/** \file corpus_dataset.c */
#include "support/corpus_dataset.h"

void put_ids(const char *path, int n, int first)
{
  uint16_t ids[MAX_TOKENS];
  CU_ASSERT_FATAL(n <= MAX_TOKENS);
  for (int i = 0; i < n; i++)
    ids[i] = (uint16_t)(i % 29 == 28 ? EOT : first + i % 97);
  rt_put_bytes(path, ids, (size_t)n * sizeof *ids);
}

rt_corpus_spec plain_spec(const char *const *file, int64_t seq)
{
  rt_corpus_spec spec = spec_of(file, 1);
  spec.seq = seq;
  spec.valid_fraction = 0.0;
  return spec;
}

void put_dataset(const char *to, const rt_logits_info *info,
                 const rt_corpus *corpus)
{
  rt_logits_writer *w = NULL;
  RT_OKAY(rt_logits_create(to, info, "deck: 1\n"));
  RT_OKAY(rt_logits_writer_open(to, &w));
  for (int64_t i = 0, r = 0; i < rt_logits_n_shards(info); i++) {
    RT_OKAY(rt_logits_writer_begin(w, i));
    for (int64_t end = r + rt_logits_shard_rows(info, i); r < end; r++) {
      rt_logits_row row = make_row(info, r);
      RT_OKAY(rt_corpus_row(corpus, RT_TRAIN, info->first_row + r, row.tok,
                            NULL, NULL));
      RT_OKAY(rt_logits_writer_add(w, &row));
      rt_logits_row_clear(&row);
    }
    RT_OKAY(rt_logits_writer_seal(w));
  }
  rt_logits_writer_close(&w);
  RT_OKAY(rt_logits_finish(to));
}

rt_logits_info info_of_corpus(const rt_corpus *corpus, int64_t first_row,
                              int64_t n_rows)
{
  const rt_corpus_spec spec = rt_corpus_spec_of(corpus);
  rt_logits_info info = {.version = RT_LOGITS_VERSION,
                         .seq = spec.seq,
                         .vocab = VOCAB,
                         .first_row = first_row,
                         .n_rows = n_rows,
                         .shard_rows = 4,
                         .encoding = "exact",
                         .top_p = 0.95,
                         .top_k = 5,
                         .temperature = 1.0,
                         .license = "CC0",
                         .tokenizer_hash = "11aa",
                         .eot = spec.eot,
                         .valid_fraction = spec.valid_fraction,
                         .split_seed = spec.split_seed};
  RT_OKAY(rt_corpus_digest(MPI_COMM_SELF, corpus, info.corpus_hash));
  return info;
}
