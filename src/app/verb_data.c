/** \file verb_data.c
 *  retort data info|check DECK: the corpus as training would see it. */
#include "app/app.h"

#include "base/log.h"
#include <string.h>

static void print_corpus(const rt_deck *deck, const rt_corpus *c)
{
  rt_info("%-32s %-9s %14s %10s %10s %8s %7s", "file", "format", "tokens",
          "documents", "train rows", "valid", "weight");
  for (int i = 0; i < rt_corpus_n_files(c); i++) {
    const rt_corpus_info f = rt_corpus_file_info(c, i);
    rt_info("%-32s %-9s %14lld %10lld %10lld %8lld %7.4f",
            rt_deck_text_at(deck, RT_KEY_DATA_FILES, i), f.format,
            (long long)f.n_tokens, (long long)f.n_docs,
            (long long)f.n_rows[RT_TRAIN], (long long)f.n_rows[RT_VALID],
            f.weight);
  }
}

static rt_err look(const rt_deck *deck, bool check)
{
  const int n = rt_deck_n(deck, RT_KEY_DATA_FILES);
  const int64_t vocab = rt_deck_int(deck, RT_KEY_DATA_VOCAB);
  RT_CHECK(n > 0, RT_ERR_CONFIG,
           "data.files is empty: name a corpus, e.g. "
           "data.files=[corpus.bin]");
  const char *files[n];
  double weights[n];
  const bool weighted = rt_deck_n(deck, RT_KEY_DATA_WEIGHTS) == n;
  for (int i = 0; i < n; i++) {
    files[i] = rt_deck_text_at(deck, RT_KEY_DATA_FILES, i);
    weights[i] = weighted ? rt_deck_real_at(deck, RT_KEY_DATA_WEIGHTS, i) : 0;
  }
  const int64_t student = rt_deck_int(deck, RT_KEY_STU_VOCAB);
  const rt_corpus_spec spec = {
      .n_files = n,
      .files = files,
      .weights = weighted ? weights : NULL,
      .seq = rt_deck_int(deck, RT_KEY_DATA_SEQ),
      .vocab = vocab > 0     ? vocab
               : student > 0 ? student
                             : UINT32_MAX,
      .eot = rt_deck_int(deck, RT_KEY_DATA_EOT),
      .valid_fraction = rt_deck_real(deck, RT_KEY_DATA_VALID),
      .split_seed = (uint64_t)rt_deck_int(deck, RT_KEY_DATA_SPLIT_SEED)};
  rt_corpus *c = NULL;
  rt_err err = rt_corpus_open(&spec, &c);
  if (err == RT_OK)
    print_corpus(deck, c);
  if (err == RT_OK && check)
    err = rt_corpus_check(c);
  if (err == RT_OK && check)
    rt_info("every id is below %lld", (long long)spec.vocab);
  rt_corpus_close(&c);
  return err;
}

rt_err rt_verb_data(const rt_comm *world, const rt_cli *cli)
{
  const bool check = strcmp(cli->words[0], "check") == 0;
  RT_CHECK(check || strcmp(cli->words[0], "info") == 0, RT_ERR_USAGE,
           "retort data takes check or info, got '%s'", cli->words[0]);
  rt_deck *deck = NULL;
  bool done;
  rt_err err = rt_app_deck(world, cli, 1, &deck, &done);
  if (err == RT_OK && !done && rt_comm_rank(world) == 0)
    err = look(deck, check);
  rt_deck_destroy(&deck);
  return rt_agree(world, err);
}
