/** \file verb_data.c
 *  retort data check|info PATH ...: one rank examines corpora. */
#include "app/app.h"
#include "base/clock.h"
#include "base/log.h"
#include "distill/job/job_inputs.h"
#include <string.h>

static const char *const actions[] = {"check", "info"};

static bool is_deck(const char *path)
{
  const char *dot = strrchr(path, '.');
  return dot != NULL && (strcmp(dot, ".yaml") == 0 || strcmp(dot, ".yml") == 0);
}

/** The vocabulary that ids must be in, if the deck gives one. */
static int64_t vocab_of(const rt_deck *deck)
{
  const int64_t data = rt_deck_int(deck, RT_KEY_DATA_VOCAB);
  const int64_t student = rt_deck_int(deck, RT_KEY_STU_VOCAB);
  return data > 0 ? data : student > 0 ? student : (int64_t)UINT32_MAX + 1;
}

/** Open the corpus \a files [n], or that of the deck if n is 0. */
static rt_err open_corpus(const rt_deck *deck, char *const *files, int n,
                          rt_corpus **out)
{
  const rt_corpus_spec spec = {
      .n_files = n,
      .files = (const char *const *)files,
      .seq = rt_deck_int(deck, RT_KEY_DATA_SEQ),
      .vocab = vocab_of(deck),
      .eot = rt_deck_int(deck, RT_KEY_DATA_EOT),
      .bos_at = rt_deck_bos_at(deck),
      .bos = rt_deck_int(deck, RT_KEY_DATA_BOS),
      .valid_fraction = rt_deck_real(deck, RT_KEY_DATA_VALID),
      .split_seed = (uint64_t)rt_deck_int(deck, RT_KEY_DATA_SPLIT_SEED)};
  return rt_open_corpus(deck, spec, out);
}

/** Shows whether data.bos and data.eot would add tokens. */
static void print_ends(const rt_corpus *corpus)
{
  for (int i = 0; i < rt_corpus_n_files(corpus); i++) {
    const rt_corpus_info info = rt_corpus_file_info(corpus, i);
    rt_info("%s: %lld of %lld documents begin with id %lld, %lld end with id "
            "%lld",
            info.path, (long long)info.n_first, (long long)info.n_docs,
            (long long)info.first_id, (long long)info.n_last,
            (long long)info.last_id);
  }
}

static void print_files(const rt_deck *deck, const rt_corpus *corpus)
{
  rt_info("%-10s %14s %10s %11s %11s %7s  %s", "format", "tokens", "documents",
          "train rows", "valid rows", "weight", "file");
  for (int i = 0; i < rt_corpus_n_files(corpus); i++) {
    const rt_corpus_info info = rt_corpus_file_info(corpus, i);
    rt_info("%-10s %14lld %10lld %11lld %11lld %7.4f  %s", info.format,
            (long long)info.n_tokens, (long long)info.n_docs,
            (long long)info.n_rows[RT_TRAIN], (long long)info.n_rows[RT_VALID],
            info.weight, info.path);
  }
  print_ends(corpus);
  rt_info(
      "corpus: %lld training and %lld held-out rows of %lld tokens an epoch",
      (long long)rt_corpus_n_rows(corpus, RT_TRAIN),
      (long long)rt_corpus_n_rows(corpus, RT_VALID),
      (long long)rt_deck_int(deck, RT_KEY_DATA_SEQ));
}

static rt_err check_ids(const rt_deck *deck, const rt_corpus *corpus)
{
  const double since = rt_now_s();
  const int64_t vocab = vocab_of(deck);
  RT_TRY(rt_corpus_check(corpus));
  if (vocab > UINT32_MAX)
    rt_info("check: every id was read in %.1f s; set data.vocab=V to compare "
            "them with a vocabulary",
            rt_now_s() - since);
  else
    rt_info("check: every id was read in %.1f s and is below %lld",
            rt_now_s() - since, (long long)vocab);
  return RT_OK;
}

static rt_err look(const rt_deck *deck, char *const *files, int n, bool check)
{
  rt_corpus *corpus = NULL;
  rt_err err = open_corpus(deck, files, n, &corpus);
  if (err == RT_OK)
    print_files(deck, corpus);
  if (err == RT_OK && check)
    err = check_ids(deck, corpus);
  rt_corpus_close(&corpus);
  return err;
}

rt_err rt_verb_data(const rt_app *app)
{
  // 1. What is asked.
  const rt_cli *cli = app->cli;
  RT_CHECK(cli->n_paths >= 1, RT_ERR_USAGE,
           "`retort data` needs check or info, and a path");
  const bool check = strcmp(cli->paths[0], "check") == 0;
  if (!check && strcmp(cli->paths[0], "info") != 0)
    return rt_cli_unknown("action", cli->paths[0], actions, 2);
  RT_CHECK(cli->n_paths >= 2 || cli->n_overrides > 0, RT_ERR_USAGE,
           "`retort data %s` needs a corpus or a deck", cli->paths[0]);
  char *const *files = cli->paths + 1;
  const bool by_deck = cli->n_paths >= 2 && is_deck(files[0]);
  RT_CHECK(!by_deck || cli->n_paths == 2, RT_ERR_USAGE,
           "`retort data %s` takes one deck or several corpora, not both",
           cli->paths[0]);
  // 2. Keys of the deck or of the command line.
  rt_deck *deck = NULL;
  rt_err err =
      rt_app_read_deck(app->world, cli, by_deck ? files[0] : "", &deck);
  // 3. One rank looks.
  if (err == RT_OK && rt_comm_rank(app->world) == 0)
    err = look(deck, files, by_deck ? 0 : cli->n_paths - 1, check);
  rt_deck_destroy(&deck);
  return rt_agree(app->world, err);
}
