/** \file verb_eval.c
 *  retort eval DECK. */
#include "app/app.h"
#include "distill/run/run.h"

rt_err rt_verb_eval(const rt_app *app)
{
  rt_job job;
  const bool teacher = rt_deck_bool(app->deck, RT_KEY_EVAL_TEACHER);
  // 1.  Check shapes, grids and inputs; captured logits are not used.
  rt_err err = rt_app_start_job(
      app, RT_NEED_STUDENT | RT_NEED_CORPUS | (teacher ? RT_NEED_TEACHER : 0),
      "", &job);
  // 2. Weights, rows, the table.
  if (err == RT_OK)
    err = rt_run_eval(&job);
  rt_app_end_job(&job);
  return err;
}
