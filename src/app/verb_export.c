/** \file verb_export.c
 *  retort export RUN OUT. */
#include "app/app.h"
#include "distill/run/run.h"

rt_err rt_verb_export(const rt_app *app)
{
  const rt_cli *cli = app->cli;
  RT_CHECK(cli->n_paths == 2 && cli->n_overrides == 0, RT_ERR_USAGE,
           "`retort export RUN OUT` takes two folders, got %d and %d "
           "overrides: RUN is a run's output.dir, OUT is made",
           cli->n_paths, cli->n_overrides);
  return rt_run_export(app->world, cli->paths[0], cli->paths[1]);
}
