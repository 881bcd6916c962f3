/** \file verb_logits.c
 *  retort logits ACTION PATH [PATH] [KEY=VALUE ...]. */
#include "app/logits_tools.h"
#include "base/clock.h"
#include "base/log.h"
#include <stdlib.h>
#include <string.h>

typedef struct action {
  const char *name;
  int n_paths;
  bool takes_keys; // capture.* words of the command line
  bool takes_all;  // --all
  rt_err (*run)(const rt_app *app, char *const *paths);
} action;

/** Rows that `info` counts without --all: 15 TB would take it hours. */
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
  rt_info("dataset     %s%s", path,
          rt_logits_is_finished(ds) ? "" : " (unfinished)");
  rt_info("teacher     %s, weights %s", known(i->teacher),
          known(i->teacher_hash));
  rt_info("tokenizer   %s; vocabulary %lld", known(i->tokenizer_hash),
          (long long)i->vocab);
  rt_info(
      "corpus      %s; end-of-text %lld, held out %g (seed %llu), documents "
      "%s",
      known(i->corpus_hash), (long long)i->eot, i->valid_fraction,
      (unsigned long long)i->split_seed,
      i->mask_documents ? "masked" : "not masked");
  rt_info("made        %s by %s", known(i->created), known(i->creator));
  if (i->source[0] != '\0')
    rt_info("selected    from the dataset whose manifest ends in %s",
            i->source);
  rt_info("license     %s", known(i->license));
  print_kept(i);
  rt_info("rows        %lld of %lld, from row %lld of the stream on, up to "
          "%lld tokens (%lld tokens), %lld a shard",
          (long long)n.rows, (long long)i->n_rows, (long long)i->first_row,
          (long long)i->seq, (long long)n.tokens, (long long)i->shard_rows);
  rt_info("entries     %.0f, %.2f per token", entries, entries * per);
  rt_info("size        %.0f bytes, %.2f per token, %.3f per entry", bytes,
          bytes * per, n.entries > 0 ? bytes / entries : 0.0);
}

/** This rank's share of the files and rows. */
static rt_err verify_share(const rt_logits *ds, const rt_comm *world)
{
  const rt_logits_info *info = rt_logits_about(ds);
  const int rank = rt_comm_rank(world), step = rt_comm_size(world);
  rt_logits_row row = {0};
  rt_err err = rank == 0 ? rt_logits_verify_card(ds) : RT_OK;
  for (int64_t i = rank; err == RT_OK && i < rt_logits_n_shards(info);
       i += step)
    err = rt_logits_verify_shard(ds, i);
  for (int64_t r = rank; err == RT_OK && r < info->n_rows; r += step) {
    if (!rt_logits_has(ds, r))
      continue;
    err = rt_logits_read(ds, r, &row);
    if (err == RT_OK)
      err = rt_logits_verify_row(ds, r, &row);
  }
  rt_logits_row_clear(&row);
  return err;
}

static rt_err verify(const rt_logits *ds, const rt_comm *world)
{
  const double since = rt_now_s();
  const rt_logits_totals n = rt_logits_count(ds);
  RT_TRY(rt_agree(world, verify_share(ds, world)));
  const double s = rt_now_s() - since;
  rt_info("verify      all %lld rows are as they were written; %.2f s, %.2f "
          "GB/s%s",
          (long long)n.rows, s, (double)n.bytes * 1e-9 / (s > 0.0 ? s : 1e-9),
          rt_logits_is_finished(ds)
              ? ""
              : "; the capture is unfinished: run it again to go on");
  return RT_OK;
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
      rt_logits_open(rt_comm_mpi(app->world), paths[0], RT_LOGITS_ANY, &ds);
  if (err == RT_OK) {
    print_info(ds, paths[0]);
    err = verify(ds, app->world);
  }
  rt_logits_close(&ds);
  return err;
}

static rt_err run_action(const rt_app *app, const action *a)
{
  const rt_cli *cli = app->cli;
  RT_CHECK(cli->n_paths == 1 + a->n_paths &&
               (cli->n_overrides == 0 || a->takes_keys),
           RT_ERR_USAGE, "`retort logits %s` takes %d path%s%s", a->name,
           a->n_paths, a->n_paths == 1 ? "" : "s",
           a->takes_keys ? " and capture.KEY=VALUE" : " and no KEY=VALUE");
  RT_CHECK(!cli->all || a->takes_all, RT_ERR_USAGE,
           "`retort logits %s` takes no --all: it reads all it needs", a->name);
  if (!a->takes_keys)
    return a->run(app, cli->paths + 1);
  rt_deck *deck = NULL;
  RT_TRY(rt_app_read_deck(app->world, cli, "", &deck));
  rt_app with_keys = *app;
  with_keys.deck = deck;
  const rt_err err = a->run(&with_keys, cli->paths + 1);
  rt_deck_destroy(&deck);
  return err;
}

rt_err rt_verb_logits(const rt_app *app)
{
  static const action actions[] = {
      {"info", 1, false, true, run_info},
      {"verify", 1, false, false, run_verify},
      {"diff", 2, false, false, rt_logits_diff_run},
      {"select", 2, true, false, rt_logits_select_run},
      {"export", 2, true, false, rt_logits_export_run}};
  enum { N_ACTIONS = sizeof actions / sizeof actions[0] };
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
