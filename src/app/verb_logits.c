/** \file verb_logits.c
 *  retort logits info|verify PATH. */
#include "app/app.h"
#include "base/clock.h"
#include "base/log.h"
#include "io/logits.h"
#include <string.h>

static const char *const actions[] = {"info", "verify"};

static const char *known(const char *text)
{
  return text[0] != '\0' ? text : "unknown";
}

static void print_info(const rt_logits *ds, const char *path)
{
  const rt_logits_info *i = rt_logits_about(ds);
  const double tokens = (double)i->n_rows * (double)i->seq;
  const double entries = (double)rt_logits_total_entries(ds);
  const double bytes = (double)rt_logits_total_bytes(ds);
  const double per = tokens > 0.0 ? 1.0 / tokens : 0.0;
  rt_info("dataset     %s", path);
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
  rt_info("license     %s", known(i->license));
  rt_info("kept        top-p %g, top-k %lld", i->top_p, (long long)i->top_k);
  rt_info("rows        %lld of %lld tokens (%.0f tokens), %lld a shard",
          (long long)i->n_rows, (long long)i->seq, tokens,
          (long long)i->shard_rows);
  rt_info("entries     %.0f, %.2f per token", entries, entries * per);
  rt_info("size        %.0f bytes, %.2f per token", bytes, bytes * per);
}

/** This rank's share of the rows. */
static rt_err read_share(const rt_logits *ds, const rt_comm *world)
{
  const int64_t n_rows = rt_logits_about(ds)->n_rows;
  rt_logits_row row = {0};
  rt_err err = RT_OK;
  for (int64_t r = rt_comm_rank(world); err == RT_OK && r < n_rows;
       r += rt_comm_size(world))
    err = rt_logits_read(ds, r, &row);
  rt_logits_row_clear(&row);
  return err;
}

static rt_err verify(const rt_logits *ds, const rt_comm *world)
{
  const double since = rt_now_s();
  RT_TRY(rt_agree(world, read_share(ds, world)));
  const double s = rt_now_s() - since;
  rt_info("verify      all %lld rows are as they were written; %.2f s, %.2f "
          "GB/s",
          (long long)rt_logits_about(ds)->n_rows, s,
          (double)rt_logits_total_bytes(ds) * 1e-9 / (s > 0.0 ? s : 1e-9));
  return RT_OK;
}

rt_err rt_verb_logits(const rt_app *app)
{
  // 1. What is asked.
  const rt_cli *cli = app->cli;
  RT_CHECK(cli->n_paths >= 1, RT_ERR_USAGE,
           "`retort logits` needs info or verify, and a dataset's folder");
  const char *action = cli->paths[0];
  if (strcmp(action, "info") != 0 && strcmp(action, "verify") != 0)
    return rt_cli_unknown("action", action, actions, 2);
  RT_CHECK(cli->n_paths == 2 && cli->n_overrides == 0, RT_ERR_USAGE,
           "`retort logits %s` takes one folder of a dataset", action);
  // 2. Manifest and shards' metadata are checked as they are opened.
  rt_logits *ds = NULL;
  rt_err err = rt_logits_open(rt_comm_mpi(app->world), cli->paths[1], &ds);
  // 3. What it is, and whether it still is.
  if (err == RT_OK)
    print_info(ds, cli->paths[1]);
  if (err == RT_OK && strcmp(action, "verify") == 0)
    err = verify(ds, app->world);
  rt_logits_close(&ds);
  return err;
}
