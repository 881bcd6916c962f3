/** \file verb_logits.c
 *  retort logits ACTION PATH [PATH] [KEY=VALUE ...]. */
#include "app/app.h"
#include "distill/dataset/dataset.h"
#include "base/log.h"
#include <stdio.h>
#include <string.h>

enum { MOST_KEYS = 8 };

typedef struct action {
  const char *name;
  int n_paths;
  bool takes_all; // --all
  rt_err (*run)(const rt_app *app, char *const *paths);
  int n_keys; // number of command-line keys that it uses
  rt_key keys[MOST_KEYS];
} action;

/** Number of rows that `info` counts without --all: for 15 TB all rows would
 *  take hours. */
enum { N_SAMPLE = 4096 };

static const char *known(const char *text)
{
  return text[0] != '\0' ? text : "unknown";
}

static void print_kept(const rt_logits_info *i)
{
  if (i->draws > 0)
    rt_info("kept        %lld draws from the softmax (seed %llu), %s",
            (long long)i->draws, (unsigned long long)i->draw_seed, i->encoding);
  else
    rt_info("kept        top-p %g, top-k %lld, %s", i->top_p,
            (long long)i->top_k, i->encoding);
  rt_info("optional    %s%s%s%s", i->entropy ? "entropy " : "",
          i->deviation ? "deviation " : "", i->step ? "step" : "",
          i->entropy || i->deviation || i->step ? "" : "no fields");
}

static void print_info(const rt_logits *ds, const char *path)
{
  const rt_logits_info *i = rt_logits_about(ds);
  const rt_logits_totals n = rt_logits_count(ds);
  const double per = n.tokens > 0 ? 1.0 / (double)n.tokens : 0.0;
  const double entries = (double)n.entries, bytes = (double)n.bytes;
  char from[64];
  rt_info("dataset     %s%s", path,
          rt_logits_is_finished(ds) ? "" : " (unfinished)");
  rt_info("teacher     %s, %s %s", known(i->teacher),
          i->step ? "its run began from" : "weights", known(i->teacher_hash));
  rt_info("tokenizer   %s; vocabulary %lld", known(i->tokenizer_hash),
          (long long)i->vocab);
  rt_info("corpus      %s; end-of-text %lld, beginning-of-text %lld%s%s, held "
          "out %g (seed %llu), documents "
          "%s",
          known(i->corpus_hash), (long long)i->eot, (long long)i->bos,
          i->bos_at[0] != '\0' ? " before " : "", i->bos_at, i->valid_fraction,
          (unsigned long long)i->split_seed,
          i->mask_documents ? "masked" : "not masked");
  rt_info("made        %s by %s", known(i->created), known(i->creator));
  if (i->source[0] != '\0')
    rt_info("selected    from the dataset whose manifest ends in %s",
            i->source);
  rt_info("license     %s", known(i->license));
  print_kept(i);
  snprintf(from, sizeof from, "from row %lld of the stream on",
           (long long)i->first_row);
  rt_info("rows        %lld of %lld, %s, up to %lld tokens (%lld tokens), %lld "
          "a shard",
          (long long)n.rows, (long long)i->n_rows,
          i->step ? "each row records its stream row and training step" : from,
          (long long)i->seq, (long long)n.tokens, (long long)i->shard_rows);
  rt_info("entries     %.0f, %.2f per token", entries, entries * per);
  rt_info("size        %.0f bytes, %.2f per token, %.3f per entry", bytes,
          bytes * per, n.entries > 0 ? bytes / entries : 0.0);
}

static rt_err run_info(const rt_app *app, char *const *paths)
{
  rt_logits *ds = NULL;
  rt_err err =
      rt_logits_open(rt_comm_mpi(app->world), paths[0], RT_LOGITS_ANY, &ds);
  if (err == RT_OK) {
    print_info(ds, paths[0]);
    err = rt_logits_print_counts(ds, app->cli->all ? INT64_MAX : N_SAMPLE,
                                 app->world);
  }
  rt_logits_close(&ds);
  return err;
}

static rt_err run_verify(const rt_app *app, char *const *paths)
{
  rt_logits *ds = NULL;
  rt_err err =
      rt_logits_open(rt_comm_mpi(app->world), paths[0], RT_LOGITS_SOUND, &ds);
  if (err == RT_OK) {
    print_info(ds, paths[0]);
    err = rt_logits_verify(app->world, app->deck, ds);
  }
  rt_logits_close(&ds);
  return err;
}

static rt_err run_diff(const rt_app *app, char *const *paths)
{
  return rt_logits_diff_run(app->world, paths);
}

static rt_err run_select(const rt_app *app, char *const *paths)
{
  return rt_logits_select_run(app->world, app->deck, paths);
}

static rt_err run_export(const rt_app *app, char *const *paths)
{
  return rt_logits_export_run(app->world, app->deck, paths);
}

/** Reject keys that the action does not use; all keys are checked. */
static rt_err check_keys(const action *a, const rt_deck *deck)
{
  char takes[512] = "";
  for (int i = 0; i < a->n_keys; i++) {
    const size_t n = strlen(takes);
    snprintf(takes + n, sizeof takes - n, "%s%s", i > 0 ? ", " : "",
             rt_key_path(a->keys[i]));
  }
  for (int k = 0; k < RT_N_KEYS; k++) {
    bool known = rt_deck_source(deck, (rt_key)k) == RT_FROM_DEFAULT ||
                 k == RT_KEY_RUN_WATCHDOG_S;
    for (int i = 0; i < a->n_keys; i++)
      known = known || a->keys[i] == (rt_key)k;
    RT_CHECK(known, RT_ERR_USAGE,
             "`retort logits %s` does not use %s: it takes %s", a->name,
             rt_key_path((rt_key)k), takes);
  }
  return RT_OK;
}

static rt_err run_action(const rt_app *app, const action *a)
{
  const rt_cli *cli = app->cli;
  RT_CHECK(cli->n_paths == 1 + a->n_paths &&
               (cli->n_overrides == 0 || a->n_keys > 0),
           RT_ERR_USAGE, "`retort logits %s` takes %d path%s and %s KEY=VALUE",
           a->name, a->n_paths, a->n_paths == 1 ? "" : "s",
           a->n_keys > 0 ? "some" : "no");
  RT_CHECK(
      !cli->all || a->takes_all, RT_ERR_USAGE,
      "`retort logits %s` takes no --all: it always reads everything it needs",
      a->name);
  rt_deck *deck = NULL;
  RT_TRY(rt_app_read_deck(app->world, cli, "", &deck));
  rt_app with_keys = *app;
  with_keys.deck = deck;
  rt_err err = check_keys(a, deck);
  if (err == RT_OK)
    err = a->run(&with_keys, cli->paths + 1);
  rt_deck_destroy(&deck);
  return err;
}

static const action actions[] = {
    {.name = "info", .n_paths = 1, .takes_all = true, .run = run_info},
    {.name = "verify",
     .n_paths = 1,
     .run = run_verify,
     .n_keys = 2,
     .keys = {RT_KEY_DATA_FILES, RT_KEY_DATA_WEIGHTS}},
    {.name = "diff", .n_paths = 2, .run = run_diff},
    {.name = "select",
     .n_paths = 2,
     .run = run_select,
     .n_keys = 8,
     .keys = {RT_KEY_DATA_VOCAB, RT_KEY_CAP_FIRST, RT_KEY_CAP_ROWS,
              RT_KEY_CAP_TOP_P, RT_KEY_CAP_TOP_K, RT_KEY_CAP_SHARD,
              RT_KEY_CAP_ENCODING, RT_KEY_CAP_LICENSE}},
    {.name = "export",
     .n_paths = 2,
     .run = run_export,
     .n_keys = 2,
     .keys = {RT_KEY_CAP_FIRST, RT_KEY_CAP_ROWS}}};
enum { N_ACTIONS = sizeof actions / sizeof actions[0] };

rt_err rt_verb_logits(const rt_app *app)
{
  const char *names[N_ACTIONS];
  const rt_cli *cli = app->cli;
  RT_CHECK(cli->n_paths >= 1, RT_ERR_USAGE,
           "`retort logits` needs info, verify, diff, select or export, and a "
           "dataset's folder");
  for (int i = 0; i < N_ACTIONS; i++) {
    const action *const a = &actions[i];
    names[i] = a->name;
    if (strcmp(cli->paths[0], a->name) == 0)
      return run_action(app, a);
  }
  return rt_cli_unknown("action", cli->paths[0], names, N_ACTIONS);
}
