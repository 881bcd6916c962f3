/** \file trainer.c
 *  Plans, allocates and initialises what a training step needs. */
#include "distill/train/trainer.h"

#include "base/log.h"
#include "base/split.h"
#include "distill/data/job_data.h"
#include "distill/job/job_memory.h"
#include "distill/job/job_models.h"
#include "distill/train/schedules.h"

#include <stdlib.h>

static rt_err plan_student(rt_trainer *tr)
{
  rt_job *job = tr->job;
  const rt_deck *d = job->deck;
  rt_model_spec spec = rt_job_student(job);
  spec.train = true;
  RT_TRY(rt_model_create("student", &spec, &tr->model));
  const rt_adamw_spec adamw = {
      .beta1 = rt_deck_real(d, RT_KEY_TRAIN_BETA1),
      .beta2 = rt_deck_real(d, RT_KEY_TRAIN_BETA2),
      .eps = rt_deck_real(d, RT_KEY_TRAIN_EPS),
      .weight_decay = rt_deck_real(d, RT_KEY_TRAIN_DECAY),
      .decay_all = rt_deck_bool(d, RT_KEY_TRAIN_DECAY_ALL)};
  rt_params *params = rt_model_params(tr->model);
  RT_TRY(rt_adamw_create(params, job->dev, &adamw, &tr->opt));
  return rt_gradsync_create(params, job->dev, &tr->sync);
}

static rt_err plan_objective(rt_trainer *tr)
{
  rt_job *job = tr->job;
  const rt_objective_spec spec = {
      .dev = job->dev,
      .grid = &job->grid_s,
      .chunk_bytes = rt_job_chunk_bytes(job, &job->arch_s, &job->grid_s),
      .max_tokens = job->micro_rows * job->seq,
      .vocab_local =
          rt_round_up(job->arch_s.vocab, job->grid_s.tp) / job->grid_s.tp,
      .dense = tr->teacher != NULL && rt_teacher_dense(tr->teacher),
      .kld = rt_deck_is(job->deck, RT_KEY_LOSS_KIND, "kld"),
      .tau = rt_deck_real(job->deck, RT_KEY_LOSS_TAU)};
  return rt_objective_create(&spec, &tr->objective);
}

static rt_err plan_input(rt_trainer *tr)
{
  const int64_t n = tr->job->micro_rows * tr->job->seq;
  RT_TRY(rt_arena_create("student input", &tr->input));
  RT_TRY(rt_arena_reserve(tr->input, "tok", RT_I32, n, 1, &tr->tok));
  RT_TRY(rt_arena_reserve(tr->input, "pos", RT_I32, n, 1, &tr->pos));
  return rt_arena_reserve(tr->input, "doc_start", RT_I32, n, 1, &tr->doc_start);
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

/** The part of the commit that is local to this rank. */
static rt_err commit_own(rt_trainer *tr)
{
  RT_TRY(rt_adamw_commit(tr->opt));
  RT_TRY(rt_objective_commit(tr->objective));
  RT_TRY(rt_window_capture_commit(tr->capture));
  return rt_arena_commit(tr->input, rt_dev_memory(tr->job->dev));
}

rt_err rt_trainer_commit(rt_trainer *tr)
{
  rt_job *job = tr->job;
  RT_TRY(rt_agree(job->world, commit_own(tr)));
  RT_TRY(rt_model_commit(tr->model));
  if (tr->teacher != NULL)
    RT_TRY(rt_teacher_commit(tr->teacher, job));
  const char *weights = rt_deck_text(job->deck, RT_KEY_STU_WEIGHTS);
  if (weights[0] != '\0')
    return rt_job_load_weights(job, tr->model, weights);
  const uint64_t seed = (uint64_t)rt_deck_int(job->deck, RT_KEY_RUN_SEED);
  return rt_agree(job->world,
                  rt_params_random(rt_model_params(tr->model), job->dev, seed));
}

/** The feed from \a step on; its thread makes the teacher's targets. */
static rt_feed_spec feed_of(const rt_trainer *tr, int64_t step)
{
  rt_feed_spec feed = rt_job_feed(tr->job, step);
  feed.on_row = tr->teacher != NULL ? rt_teacher_on_row : NULL;
  feed.on_row_self = tr->teacher;
  return feed;
}

/** Plan the memory in addition to the arenas. */
static void plan_beside(rt_trainer *tr)
{
  rt_job *const job = tr->job;
  const rt_feed_spec feed = feed_of(tr, 0);
  rt_job_beside(job, "rows read ahead", rt_feed_memory(&feed));
  rt_job_beside_shared(job, job->grid_s.comm_tp);
  rt_job_beside_shared(job, job->grid_s.comm_dp);
  if ((job->needs & RT_NEED_TEACHER) != 0)
    rt_job_beside_shared(job, job->grid_t.comm_tp);
  rt_job_beside(job, "loss on the host",
                (double)rt_objective_host_bytes(tr->objective));
  if (tr->teacher != NULL)
    rt_job_beside(job, "targets on the host", rt_teacher_beside(tr->teacher));
}

rt_err rt_trainer_create(rt_job *job, rt_trainer **out)
{
  rt_trainer *tr = calloc(1, sizeof *tr);
  *out = tr;
  RT_CHECK(tr != NULL, RT_ERR_MEM, "a trainer");
  if (job->arch_s.dropout > 0.0)
    rt_warn("the student's config.json asks for dropout (%g): it is trained "
            "without dropout",
            job->arch_s.dropout);
  tr->job = job;
  tr->spec =
      (rt_step_spec){.dev = job->dev,
                     .tp = job->grid_s.comm_tp,
                     .dp = job->grid_s.comm_dp,
                     .phases = &job->phases,
                     .batch_rows = job->batch_rows,
                     .rows_per_rank = job->rows_per_rank,
                     .micro_rows = job->micro_rows,
                     .seq = job->seq,
                     .clip = rt_deck_real(job->deck, RT_KEY_TRAIN_CLIP),
                     .spike = rt_deck_real(job->deck, RT_KEY_TRAIN_SPIKE)};
  const int64_t tokens = job->batch_rows * job->seq;
  rt_schedules_tell_unused(job->deck);
  tr->lr = rt_lr_schedule(job->deck, tokens, job->n_steps);
  tr->alpha = rt_alpha_schedule(job->deck, tokens, job->n_steps);
  RT_TRY(plan_student(tr));
  RT_TRY(rt_teacher_create(job, &tr->teacher));
  RT_TRY(plan_objective(tr));
  RT_TRY(plan_input(tr));
  RT_TRY(rt_window_capture_create(job, tr->model, tr->objective, &tr->capture));
  plan_beside(tr);
  return RT_OK;
}

void rt_trainer_destroy(rt_trainer **out)
{
  rt_trainer *tr = *out;
  *out = NULL;
  if (tr == NULL)
    return;
  rt_feed_destroy(&tr->feed);
  rt_window_capture_destroy(&tr->capture);
  rt_objective_destroy(&tr->objective);
  rt_teacher_destroy(&tr->teacher);
  rt_gradsync_destroy(&tr->sync);
  rt_adamw_destroy(&tr->opt);
  rt_model_destroy(&tr->model);
  rt_arena_destroy(&tr->input);
  free(tr);
}

rt_err rt_trainer_seek(rt_trainer *tr, int64_t step)
{
  rt_feed_destroy(&tr->feed);
  const rt_feed_spec spec = feed_of(tr, step);
  return rt_feed_create(&spec, &tr->feed);
}
