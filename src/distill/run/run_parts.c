/** \file run_parts.c
 *  Trainer and evaluator of a run, and the memory that both need. */
#include "distill/run/run_parts.h"

#include "base/log.h"
#include "distill/job/job_memory.h"
#include "distill/train/resume.h"

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

rt_err rt_run_parts_plan(rt_job *job, rt_plan_show show, rt_run_parts *parts)
{
  const rt_arena *plans[16];
  *parts = (rt_run_parts){.eval_rows = rows_to_evaluate(job)};
  RT_TRY(rt_trainer_create(job, &parts->trainer));
  if (rt_deck_text(job->deck, RT_KEY_OUT_DIR)[0] != '\0')
    rt_job_beside(job, "checkpoint in writing", rt_resume_memory(job));
  int n = rt_trainer_arenas(parts->trainer, plans);
  if (parts->eval_rows > 0) {
    RT_TRY(rt_evaluator_create(job, parts->trainer->model, &parts->evaluator));
    n += rt_evaluator_arenas(parts->evaluator, plans + n);
  }
  return rt_job_check_memory(job, plans, n, show);
}

void rt_run_parts_clear(rt_run_parts *parts)
{
  rt_evaluator_destroy(&parts->evaluator);
  rt_trainer_destroy(&parts->trainer);
}
