/** \file trainer.c
 *  Plans, allocates and initialises what a training step needs. */
#include "distill/train/trainer.h"

#include "distill/job/weights.h"

#include <stdlib.h>

static rt_err plan_student(rt_trainer *tr, const rt_trainer_spec *spec)
{
  rt_dev *const dev = spec->step.dev;
  RT_TRY(rt_model_create("student", &spec->student, &tr->model));
  rt_params *params = rt_model_params(tr->model);
  RT_TRY(rt_adamw_create(params, dev, &spec->adamw, &tr->opt));
  return rt_gradsync_create(params, dev, &tr->sync);
}

static rt_err plan_input(rt_trainer *tr)
{
  const int64_t n = tr->spec.micro_rows * tr->spec.seq;
  RT_TRY(rt_arena_create("student input", &tr->input));
  RT_TRY(rt_arena_reserve(tr->input, "tok", RT_I32, n, 1, &tr->tok));
  RT_TRY(rt_arena_reserve(tr->input, "pos", RT_I32, n, 1, &tr->pos));
  RT_TRY(
      rt_arena_reserve(tr->input, "doc_start", RT_I32, n, 1, &tr->doc_start));
  RT_TRY(rt_arena_reserve(tr->input, "control of steps", RT_F64, 1, K_N_CONTROL,
                          &tr->control));
  return rt_arena_reserve(tr->input, "what a step tells", RT_F64, 1, K_N_TOLD,
                          &tr->told);
}

rt_err rt_trainer_create(const rt_trainer_spec *spec, rt_trainer **out)
{
  rt_trainer *tr = calloc(1, sizeof *tr);
  *out = tr;
  RT_CHECK(tr != NULL, RT_ERR_MEM, "a trainer");
  tr->spec = spec->step;
  tr->world = spec->world;
  tr->weights = spec->weights;
  tr->seed = spec->seed;
  tr->rows = spec->feed;
  tr->lr = spec->lr;
  tr->alpha = spec->alpha;
  RT_TRY(plan_student(tr, spec));
  RT_TRY(rt_teacher_create(&spec->teacher, &tr->teacher));
  tr->rows.on_row = tr->teacher != NULL ? rt_teacher_on_row : NULL;
  tr->rows.on_row_self = tr->teacher;
  RT_TRY(rt_objective_create(&spec->loss, &tr->objective));
  RT_TRY(plan_input(tr));
  return rt_window_capture_create(&spec->capture, tr->model, tr->objective,
                                  &tr->capture);
}

int rt_trainer_arenas(const rt_trainer *tr, const rt_arena *plans[10])
{
  int n = 0;
  plans[n++] = rt_model_arena(tr->model, 0);
  plans[n++] = rt_model_arena(tr->model, 1);
  plans[n++] = rt_adamw_arena(tr->opt);
  plans[n++] = rt_objective_arena(tr->objective);
  plans[n++] = tr->input;
  if (tr->capture != NULL)
    plans[n++] = rt_window_capture_arena(tr->capture);
  if (tr->teacher != NULL)
    n += rt_teacher_arenas(tr->teacher, plans + n);
  return n;
}

static rt_err pin_results(rt_trainer *tr)
{
  for (int i = 0; i < RT_STEPS_OPEN; i++) {
    tr->open[i].told = rt_dev_pin(tr->spec.dev, sizeof(k_told));
    RT_CHECK(tr->open[i].told != NULL, RT_ERR_MEM, "the result of a step");
  }
  return RT_OK;
}

/** The part of the commit that is local to this rank. */
static rt_err commit_own(rt_trainer *tr)
{
  RT_TRY(pin_results(tr));
  RT_TRY(rt_adamw_commit(tr->opt));
  RT_TRY(rt_objective_commit(tr->objective));
  RT_TRY(rt_window_capture_commit(tr->capture));
  return rt_arena_commit(tr->input, rt_dev_memory(tr->spec.dev));
}

rt_err rt_trainer_commit(rt_trainer *tr)
{
  rt_dev *const dev = tr->spec.dev;
  RT_TRY(rt_model_commit(tr->model));
  RT_TRY(rt_agree(tr->world, commit_own(tr)));
  if (tr->teacher != NULL)
    RT_TRY(rt_teacher_commit(tr->teacher));
  if (tr->weights[0] != '\0')
    return rt_weights_load(tr->world, dev, tr->model, tr->weights);
  return rt_agree(tr->world,
                  rt_params_random(rt_model_params(tr->model), dev, tr->seed));
}

void rt_trainer_destroy(rt_trainer **out)
{
  rt_trainer *tr = *out;
  *out = NULL;
  if (tr == NULL)
    return;
  rt_dev_drop(tr->spec.dev); // steps may be open: they use what goes now
  rt_feed_destroy(&tr->feed);
  rt_window_capture_destroy(&tr->capture);
  rt_objective_destroy(&tr->objective);
  rt_teacher_destroy(&tr->teacher);
  rt_gradsync_destroy(&tr->sync);
  rt_adamw_destroy(&tr->opt);
  rt_model_destroy(&tr->model);
  rt_arena_destroy(&tr->input);
  for (int i = 0; i < RT_STEPS_OPEN; i++)
    rt_dev_unpin(tr->spec.dev, tr->open[i].told);
  free(tr);
}

rt_err rt_trainer_send_control(rt_trainer *tr)
{
  const k_control c = {.norm_mean = tr->norm_mean,
                       .n_updates = (double)tr->n_updates,
                       .n_skipped = (double)tr->n_skipped};
  return rt_dev_put(tr->spec.dev, tr->control, &c);
}

rt_err rt_trainer_seek(rt_trainer *tr, int64_t step)
{
  rt_feed_destroy(&tr->feed);
  tr->rows.first_step = step;
  RT_TRY(rt_trainer_send_control(tr));
  return rt_feed_create(&tr->rows, &tr->feed);
}
