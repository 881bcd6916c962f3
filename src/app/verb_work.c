/** \file verb_work.c
 *  The verbs that run a job: train, capture, eval, plan. */
#include "app/app.h"

#include "distill/run.h"

static const char *no_folder(const rt_deck *deck)
{
  (void)deck;
  return "";
}

static const char *output_folder(const rt_deck *deck)
{
  return rt_deck_text(deck, RT_KEY_OUT_DIR);
}

static const char *capture_folder(const rt_deck *deck)
{
  return rt_deck_text(deck, RT_KEY_CAP_DIR);
}

static int needs_of_training(const rt_deck *deck)
{
  int needs = RT_NEED_STUDENT | RT_NEED_CORPUS;
  if (rt_deck_is(deck, RT_KEY_TEA_SOURCE, "dataset"))
    needs |= RT_NEED_DATASET;
  if (rt_deck_is(deck, RT_KEY_TEA_SOURCE, "live") ||
      rt_deck_bool(deck, RT_KEY_EVAL_TEACHER))
    needs |= RT_NEED_TEACHER;
  return needs;
}

static int needs_of_capture(const rt_deck *deck)
{
  (void)deck;
  return RT_NEED_TEACHER | RT_NEED_CORPUS;
}

static int needs_of_eval(const rt_deck *deck)
{
  const int teacher =
      rt_deck_bool(deck, RT_KEY_EVAL_TEACHER) ? RT_NEED_TEACHER : 0;
  return RT_NEED_STUDENT | RT_NEED_CORPUS | teacher;
}

rt_err rt_verb_train(const rt_comm *world, const rt_cli *cli)
{
  return rt_app_work(
      world, cli, 0,
      &(rt_work){needs_of_training, output_folder, false, rt_run_train});
}

rt_err rt_verb_capture(const rt_comm *world, const rt_cli *cli)
{
  return rt_app_work(
      world, cli, 0,
      &(rt_work){needs_of_capture, capture_folder, true, rt_run_capture});
}

rt_err rt_verb_eval(const rt_comm *world, const rt_cli *cli)
{
  return rt_app_work(world, cli, 0,
                     &(rt_work){needs_of_eval, no_folder, false, rt_run_eval});
}

rt_err rt_verb_plan(const rt_comm *world, const rt_cli *cli)
{
  return rt_app_work(
      world, cli, 0,
      &(rt_work){needs_of_training, no_folder, false, rt_run_plan});
}
