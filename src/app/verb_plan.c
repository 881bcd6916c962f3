/** \file verb_plan.c
 *  retort plan DECK. */
#include "app/app.h"
#include "distill/run/run.h"

rt_err rt_verb_plan(const rt_app *app)
{
  rt_job job;
  // 1.  Check shapes, grids and inputs.
  rt_err err =
      rt_app_start_job(app, rt_app_needs_of_training(app->deck), "", &job);
  // 2.  Print what the run would need; nothing is allocated or written.
  if (err == RT_OK)
    err = rt_run_plan(&job);
  rt_app_end_job(&job);
  return err;
}
