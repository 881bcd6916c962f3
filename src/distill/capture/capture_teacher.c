/** \file capture_teacher.c
 *  Runs a model and its truncating head over the rows of a corpus. */
#include "distill/capture/capture_teacher.h"
#include "distill/data/job_data.h"
#include "distill/job/job_memory.h"
#include "distill/job/job_models.h"

static rt_entries_spec entries_of(const rt_logits_info *info,
                                  const rt_capture_teacher *t)
{
  return (rt_entries_spec){.n = t->micro_rows * t->job->seq,
                           .k = rt_capture_max_entries(info),
                           .statistics = info->entropy};
}

rt_err rt_capture_teacher_plan(rt_job *job, const rt_logits_info *info,
                               rt_capture_teacher *t)
{
  t->job = job;
  t->micro_rows = rt_deck_int(job->deck, RT_KEY_CAP_MICRO);
  const rt_model_spec spec = rt_job_teacher_model(job, 1);
  RT_TRY(rt_model_create("teacher", &spec, &t->model));
  const rt_trunc_spec head = {
      .model = t->model,
      .grid = &job->grid_t,
      .dev = job->dev,
      .rule = {info->top_p, rt_capture_max_entries(info)},
      .draws = {info->draws, info->draw_seed},
      .chunk_bytes = rt_job_chunk_bytes(job, &job->arch_t, &job->grid_t),
      .seq = job->seq};
  const rt_entries_spec entries = entries_of(info, t);
  RT_TRY(rt_trunc_head_create(&head, &t->head));
  rt_job_beside_shared(job, job->grid_t.comm_tp);
  rt_job_beside(job, "entries on the host",
                (double)(rt_entries_bytes(&entries) +
                         rt_job_batch_bytes(job, t->micro_rows) +
                         rt_trunc_head_host_bytes(t->head)));
  const rt_arena *const plans[] = {rt_model_arena(t->model, 0),
                                   rt_model_arena(t->model, 1),
                                   rt_trunc_head_arena(t->head)};
  return rt_job_check_memory(job, plans, 3, RT_PLAN_SUM);
}

/** The part of the commit that is local to this rank. */
static rt_err commit_own(const rt_logits_info *info, rt_capture_teacher *t)
{
  const rt_entries_spec entries = entries_of(info, t);
  RT_TRY(rt_entries_create(&entries, &t->entries));
  RT_TRY(rt_job_batch(t->job, t->micro_rows, &t->batch));
  return rt_trunc_head_commit(t->head);
}

rt_err rt_capture_teacher_commit(const rt_logits_info *info,
                                 rt_capture_teacher *t)
{
  RT_TRY(rt_agree(t->job->world, commit_own(info, t)));
  return rt_model_commit(t->model);
}

rt_err rt_capture_teacher_run(rt_capture_teacher *t, int64_t first, int64_t n)
{
  rt_job *job = t->job;
  RT_ASSERT(n > 0 && n <= t->micro_rows);
  int64_t rows[n];
  for (int64_t r = 0; r < n; r++)
    rows[r] = first + r;
  rt_phases_to(&job->phases, RT_PHASE_INPUT);
  RT_TRY(rt_batch_fill(t->batch, RT_TRAIN, rows, n, NULL));
  rt_phases_to(&job->phases, RT_PHASE_TEACHER);
  const rt_batch *b = t->batch;
  const rt_host_rows in = {.tok = b->tok,
                           .pos = b->pos,
                           .doc_start = b->doc_start,
                           .label = b->label,
                           .row = b->row,
                           .n_rows = n};
  return rt_trunc_head_run(t->head, &in, &t->entries);
}

void rt_capture_teacher_clear(rt_capture_teacher *t)
{
  rt_batch_destroy(&t->batch);
  rt_trunc_head_destroy(&t->head);
  rt_model_destroy(&t->model);
  rt_entries_clear(&t->entries);
}
