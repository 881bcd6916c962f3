/** \file capture_teacher.c
 *  Runs a model and its truncating head over the rows of a corpus. */
#include "distill/capture/capture_teacher.h"

static rt_entries_spec entries_of(const rt_capture_teacher_spec *spec)
{
  return (rt_entries_spec){.n = spec->micro_rows * spec->model.seq,
                           .k = spec->rule.top_k,
                           .statistics = spec->statistics};
}

rt_err rt_capture_teacher_plan(const rt_capture_teacher_spec *spec,
                               rt_capture_teacher *t)
{
  t->spec = *spec;
  RT_TRY(rt_model_create("teacher", &spec->model, &t->model));
  const rt_trunc_spec head = {.model = t->model,
                              .grid = spec->model.grid,
                              .dev = spec->model.dev,
                              .rule = spec->rule,
                              .draws = spec->draws,
                              .chunk_bytes = spec->chunk_bytes,
                              .seq = spec->model.seq};
  return rt_trunc_head_create(&head, &t->head);
}

double rt_capture_teacher_beside(const rt_capture_teacher *t)
{
  const rt_entries_spec entries = entries_of(&t->spec);
  return (double)(rt_entries_bytes(&entries) +
                  rt_batch_bytes(&t->spec.rows, t->spec.micro_rows) +
                  rt_trunc_head_host_bytes(t->head));
}

/** The part of the commit that is local to this rank. */
static rt_err commit_own(rt_capture_teacher *t)
{
  const rt_entries_spec entries = entries_of(&t->spec);
  RT_TRY(rt_entries_create(&entries, &t->entries));
  RT_TRY(rt_batch_create(&t->spec.rows, t->spec.micro_rows, &t->batch));
  return rt_trunc_head_commit(t->head);
}

rt_err rt_capture_teacher_commit(rt_capture_teacher *t)
{
  RT_TRY(rt_agree(t->spec.world, commit_own(t)));
  return rt_model_commit(t->model);
}

rt_err rt_capture_teacher_run(rt_capture_teacher *t, int64_t first, int64_t n)
{
  rt_phases *const phases = t->spec.phases;
  RT_ASSERT(n > 0 && n <= t->spec.micro_rows);
  int64_t rows[n];
  for (int64_t r = 0; r < n; r++)
    rows[r] = first + r;
  rt_phases_to(phases, RT_PHASE_INPUT);
  RT_TRY(rt_batch_fill(t->batch, RT_TRAIN, rows, n, NULL));
  rt_phases_to(phases, RT_PHASE_TEACHER);
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
