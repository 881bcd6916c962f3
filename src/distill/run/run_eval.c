/** \file run_eval.c
 *  Evaluates a finished student on held-out rows. */
#include "base/log.h"
#include "distill/eval/job_eval.h"
#include "distill/eval/logits_out.h"
#include "distill/run/run.h"
#include "distill/job/job_memory.h"
#include "distill/job/job_models.h"
#include "distill/job/weights.h"
#include "distill/train/resume.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

typedef struct rt_eval_run {
  rt_job *job;             // borrowed
  rt_model *model;         // owned
  rt_evaluator *evaluator; // owned
  int64_t step;            // step of the checkpoint; -1: student.weights
} rt_eval_run;

static rt_err plan(rt_eval_run *run)
{
  rt_job *job = run->job;
  const rt_model_spec spec = rt_job_student(job);
  const rt_arena *plans[6];
  int n = 0;
  rt_job_beside_shared(job, job->grid_s.comm_tp);
  RT_TRY(rt_model_create("student", &spec, &run->model));
  RT_TRY(rt_job_evaluator(job, run->model, &run->evaluator));
  plans[n++] = rt_model_arena(run->model, 0);
  plans[n++] = rt_model_arena(run->model, 1);
  n += rt_evaluator_arenas(run->evaluator, plans + n);
  return rt_job_check_memory(job, plans, n, RT_PLAN_SUM);
}

/** Load the model: a run's checkpoint takes precedence over the weights it
 *  started from. */
static rt_err load(rt_eval_run *run)
{
  rt_job *job = run->job;
  const char *folder = rt_deck_text(job->deck, RT_KEY_OUT_DIR);
  const char *weights = rt_deck_text(job->deck, RT_KEY_STU_WEIGHTS);
  run->step = -1;
  if (folder[0] != '\0')
    RT_TRY(rt_resume_weights(job->world, job->dev, run->model, folder,
                             &run->step));
  if (run->step >= 0) {
    rt_info("weights: checkpoint of step %lld in %s", (long long)run->step,
            folder);
    return RT_OK;
  }
  RT_CHECK(weights[0] != '\0', RT_ERR_NOINPUT,
           "nothing to evaluate: output.dir%s%s holds no checkpoint and "
           "student.weights is empty",
           folder[0] != '\0' ? " " : "", folder);
  rt_info("weights: %s", weights);
  return rt_weights_load(job->world, job->dev, run->model, weights);
}

static void print_table(const rt_eval_result *r)
{
  rt_info("%-22s %lld", "tokens", (long long)r->tokens);
  rt_info("%-22s %.6f nats per token", "loss", r->loss);
  rt_info("%-22s %.4f", "perplexity", r->ppl);
  rt_info("%-22s %.2f %%", "top-1 accuracy", 100.0 * r->top1);
  rt_info("%-22s %.4f", "calibration error", r->ece);
  if (!r->with_teacher)
    return;
  rt_info("%-22s %.6f nats per token", "KL(teacher, student)", r->kl);
  rt_info("%-22s %.2f %%", "top-1 agreement", 100.0 * r->agree);
}

/** Print a member; JSON has no NaN and Inf. */
static void put_real(FILE *to, const char *name, double x)
{
  if (isfinite(x))
    fprintf(to, ",\n \"%s\": %.17g", name, x);
  else
    fprintf(to, ",\n \"%s\": null", name);
}

static rt_err write_json(const rt_eval_run *run, const rt_eval_result *r)
{
  char path[RT_PATH_MAX], *text = NULL;
  size_t n = 0;
  const char *folder = rt_deck_text(run->job->deck, RT_KEY_OUT_DIR);
  RT_TRY(rt_folder_create(folder));
  RT_TRY(rt_path_join(path, folder, "eval.json"));
  FILE *to = open_memstream(&text, &n);
  RT_CHECK(to != NULL, RT_ERR_MEM, "the text of %s", path);
  fprintf(to, "{\"step\": %lld,\n \"tokens\": %lld", (long long)run->step,
          (long long)r->tokens);
  put_real(to, "loss", r->loss);
  put_real(to, "ppl", r->ppl);
  put_real(to, "top1", r->top1);
  put_real(to, "ece", r->ece);
  if (r->with_teacher) {
    put_real(to, "kl", r->kl);
    put_real(to, "agree", r->agree);
  }
  fprintf(to, "}\n");
  rt_err err = RT_OK;
  if (fclose(to) != 0)
    err = RT_FAIL(RT_ERR_MEM, "the text of %s", path);
  if (err == RT_OK)
    err = rt_file_put(path, text, n);
  free(text);
  return err;
}

/** Check eval.logits_out before the model is read; an existing file is not
 *  overwritten. */
static rt_err check_logits_out(const rt_job *job)
{
  const char *path = rt_deck_text(job->deck, RT_KEY_EVAL_LOGITS);
  rt_err err = RT_OK;
  if (rt_comm_rank(job->world) == 0 && rt_path_exists(path))
    err = RT_FAIL(RT_ERR_LOCKED,
                  "eval.logits_out: %s exists: choose another name, or remove "
                  "it",
                  path);
  return rt_agree(job->world, err);
}

/** A script must not take NaN for a result. */
static rt_err check_result(const rt_eval_result *r)
{
  RT_CHECK(
      !isnan(r->loss), RT_ERR_NUMBER,
      "the loss is NaN: the model's logits are not finite; its weights are "
      "damaged, or its activations overflow their type");
  RT_CHECK(
      !r->with_teacher || !isnan(r->kl), RT_ERR_NUMBER,
      "the KL is NaN: the teacher's logits are not finite; its weights are "
      "damaged, or its activations overflow their type");
  return RT_OK;
}

static rt_err evaluate(rt_eval_run *run)
{
  rt_job *job = run->job;
  const rt_deck *deck = job->deck;
  const char *logits = rt_deck_text(deck, RT_KEY_EVAL_LOGITS);
  const int64_t n_rows = rt_deck_int(deck, RT_KEY_EVAL_ROWS);
  const rt_part part =
      rt_deck_is(deck, RT_KEY_EVAL_PART, "train") ? RT_TRAIN : RT_VALID;
  rt_eval_result r;
  RT_TRY(check_logits_out(job));
  RT_TRY(plan(run));
  RT_TRY(rt_agree(job->world, rt_model_commit(run->model)));
  RT_TRY(rt_evaluator_commit(run->evaluator));
  RT_TRY(load(run));
  if (logits[0] != '\0')
    RT_TRY(rt_logits_out(&(rt_logits_out_spec){.evaluator = run->evaluator,
                                               .path = logits,
                                               .part = part,
                                               .n_rows = n_rows},
                         &r));
  else
    RT_TRY(rt_evaluate(run->evaluator, part, n_rows, &r));
  print_table(&r);
  const bool writes = rt_comm_rank(job->world) == 0 &&
                      rt_deck_text(deck, RT_KEY_OUT_DIR)[0] != '\0';
  RT_TRY(rt_agree(job->world, writes ? write_json(run, &r) : RT_OK));
  return rt_agree(job->world, check_result(&r));
}

rt_err rt_run_eval(rt_job *job)
{
  rt_eval_run run = {.job = job};
  const rt_err err = evaluate(&run);
  if (err != RT_OK)
    rt_dev_drop(job->dev); // what is in its queues uses what goes now
  rt_evaluator_destroy(&run.evaluator);
  rt_model_destroy(&run.model);
  return err;
}
