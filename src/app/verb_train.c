/** \file verb_train.c
 *  retort train DECK. */
#include "app/app.h"
#include "distill/run/run.h"

rt_err rt_verb_train(const rt_app *app)
{
  rt_job job;
  // 1.  Check shapes, grids and inputs before anything is created.
  rt_err err = rt_app_start_job(app, rt_app_needs_of_training(app->deck),
                                rt_deck_text(app->deck, RT_KEY_OUT_DIR), &job);
  // 2. The run: lock, resume, steps, evaluation, checkpoints.
  if (err == RT_OK)
    err = rt_run_train(&job);
  rt_app_end_job(&job);
  return err;
}
