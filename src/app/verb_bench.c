/** \file verb_bench.c
 *  retort bench gemm|teacher|loss DECK. */
#include "app/app.h"
#include "distill/run/run_bench.h"
#include <string.h>

static const char *const parts[] = {"gemm", "teacher", "loss"};
enum { N_PARTS = sizeof parts / sizeof parts[0] };

static rt_err run_part(const rt_app *app, int part)
{
  static rt_err (*const run[N_PARTS])(rt_job *) = {
      rt_run_bench_gemm, rt_run_bench_teacher, rt_run_bench_loss};
  rt_job job;
  rt_err err =
      rt_app_start_job(app, rt_app_needs_of_training(app->deck), "", &job);
  if (err == RT_OK)
    err = run[part](&job);
  rt_app_end_job(&job);
  return err;
}

rt_err rt_verb_bench(const rt_app *app)
{
  // 1. Which part.
  const rt_cli *cli = app->cli;
  RT_CHECK(cli->n_paths >= 1, RT_ERR_USAGE,
           "`retort bench` needs gemm, teacher or loss, and a deck");
  int part = 0;
  while (part < N_PARTS && strcmp(cli->paths[0], parts[part]) != 0)
    part++;
  if (part == N_PARTS)
    return rt_cli_unknown("part", cli->paths[0], parts, N_PARTS);
  RT_CHECK(cli->n_paths == 2, RT_ERR_USAGE, "`retort bench %s` takes one deck",
           parts[part]);
  // 2. The deck, as training reads it.
  rt_deck *deck = NULL;
  rt_err err = rt_app_read_deck(app->world, cli, cli->paths[1], &deck);
  // 3. The part alone.
  rt_app with_deck = *app;
  with_deck.deck = deck;
  if (err == RT_OK)
    err = run_part(&with_deck, part);
  rt_deck_destroy(&deck);
  return err;
}
