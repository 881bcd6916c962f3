/** \file run_parts.c
 *  Trainer and evaluator of a run, and the memory that both need. */
#include "distill/run/run_parts.h"

#include "base/log.h"
#include "distill/eval/job_eval.h"
#include "distill/job/job_memory.h"
#include "distill/train/job_train.h"

/** Held-out rows to evaluate on, 0 for none. */
static int64_t rows_to_evaluate(const rt_job *job)
{
  const int64_t asked = rt_deck_int(job->deck, RT_KEY_EVAL_ROWS);
  const int64_t there =
      job->corpus != NULL ? rt_corpus_n_rows(job->corpus, RT_VALID) : 0;
  if (asked > 0 && there == 0)
    rt_info("no evaluation: %s",
            job->corpus == NULL
                ? "data.files is empty"
                : "no held-out row (data.valid_fraction, documents)");
  return asked < there ? asked : there;
}

/** May a checkpoint be due before the end? */
static bool saves_on_the_way(const rt_job *job)
{
  const int64_t every = rt_deck_steps(job->deck, RT_KEY_CKPT_EVERY,
                                      job->batch_rows * job->seq, job->n_steps);
  return (every > 0 && every < job->n_steps) ||
         (rt_deck_seconds(job->deck, RT_KEY_CKPT_EVERY) > 0.0 &&
          job->n_steps > 1);
}

/** Decide how checkpoints are written, and plan the memory for it. */
static rt_err plan_saving(rt_job *job, const rt_arena *const *plans,
                          int n_plans, rt_run_parts *parts)
{
  const double copy = (double)rt_saver_copy_bytes(parts->trainer);
  bool fits = false;
  if (rt_deck_text(job->deck, RT_KEY_OUT_DIR)[0] == '\0')
    return RT_OK;
  rt_job_beside(job, "checkpoint in writing",
                rt_save_memory(&job->arch_s, job->types_s.master,
                               job->grid_s.n_ranks, job->dev));
  if (!rt_deck_bool(job->deck, RT_KEY_CKPT_ASYNC) || !saves_on_the_way(job))
    return RT_OK;
  RT_TRY(rt_job_fits(job, plans, n_plans, copy, &fits));
  if (!fits) {
    rt_info("training waits while a checkpoint is written: there is no memory "
            "for a copy of the state, %.1f MiB on this rank",
            copy * 0x1p-20);
    return RT_OK;
  }
  rt_job_beside(job, "copy of the state to be saved", copy);
  parts->saving = RT_SAVE_MEANWHILE;
  return RT_OK;
}

rt_err rt_run_parts_plan(rt_job *job, rt_plan_show show, rt_run_parts *parts)
{
  const rt_arena *plans[16];
  *parts = (rt_run_parts){.eval_rows = rows_to_evaluate(job)};
  RT_TRY(rt_job_trainer(job, &parts->trainer));
  int n = rt_trainer_arenas(parts->trainer, plans);
  if (parts->eval_rows > 0) {
    RT_TRY(rt_job_evaluator(job, parts->trainer->model, &parts->evaluator));
    n += rt_evaluator_arenas(parts->evaluator, plans + n);
  }
  RT_TRY(plan_saving(job, plans, n, parts));
  return rt_job_check_memory(job, plans, n, show);
}

void rt_run_parts_clear(rt_run_parts *parts)
{
  rt_evaluator_destroy(&parts->evaluator);
  rt_trainer_destroy(&parts->trainer);
}
