/** \file teacher.c
 *  Dispatches to the two kinds of teacher. */
#include "distill/teacher/target_rule.h"
#include "distill/job/job_inputs.h"
#include "distill/teacher/teacher_kind.h"

#include <stdlib.h>

struct rt_teacher {
  const rt_teacher_kind *kind;
  void *self; // owned
  bool dense;
};

static rt_err check_dense(const rt_job *job)
{
  RT_CHECK(rt_deck_is(job->deck, RT_KEY_TEA_SOURCE, "live"), RT_ERR_CONFIG,
           "teacher.target is full, but a dataset holds truncated entries: use "
           "teacher.target=sparse, or teacher.source=live");
  return RT_OK;
}

static rt_err check_sampled(const rt_job *job)
{
  RT_CHECK(rt_deck_is(job->deck, RT_KEY_TEA_SOURCE, "live"), RT_ERR_CONFIG,
           "teacher.target is sampled, but a dataset holds its captured "
           "entries: remove teacher.target (capture.encoding=sampled captures "
           "draws), or use teacher.source=live");
  return rt_job_check_draws(job->deck, "teacher.target=sampled");
}

/** Report keys that were set but have no effect, so that a run does not
 *  silently differ from what its deck suggests. */
static void report_unused(const rt_job *job)
{
  static const rt_key any[] = {RT_KEY_TEA_TARGET, RT_KEY_TEA_TOP_P,
                               RT_KEY_TEA_TOP_K,  RT_KEY_TEA_ROW_CUT,
                               RT_KEY_LOSS_ALPHA, RT_KEY_LOSS_KIND,
                               RT_KEY_LOSS_TAU,   RT_KEY_LOSS_ALPHA_SHAPE};
  static const rt_key dataset[] = {RT_KEY_TEA_DATASET};
  static const rt_key weights[] = {RT_KEY_TEA_WEIGHTS};
  static const rt_key cut[] = {RT_KEY_TEA_TOP_P, RT_KEY_TEA_TOP_K};
  static const rt_key drawn[] = {RT_KEY_TEA_DRAWS, RT_KEY_TEA_SEED};
  const rt_deck *const d = job->deck;
  const bool none = rt_deck_is(d, RT_KEY_TEA_SOURCE, "none");
  if (!rt_deck_is(d, RT_KEY_TEA_SOURCE, "dataset"))
    rt_job_tell_unused(d, dataset, 1, "teacher.source is not dataset");
  if (none && (job->needs & RT_NEED_TEACHER) == 0)
    rt_job_tell_unused(d, weights, 1, "teacher.source is none");
  if (none)
    rt_job_tell_unused(d, any, sizeof any / sizeof any[0],
                       "teacher.source is none: language modelling only");
  else if (rt_deck_is(d, RT_KEY_TEA_TARGET, "full"))
    rt_job_tell_unused(d, cut, 2, "teacher.target is full");
  if (job->dataset == NULL && !rt_deck_is(d, RT_KEY_TEA_TARGET, "sampled"))
    rt_job_tell_unused(d, drawn, 2, "teacher.target is not sampled");
}

rt_err rt_teacher_create(const rt_job *job, rt_teacher **out)
{
  *out = NULL;
  report_unused(job);
  if (rt_deck_is(job->deck, RT_KEY_TEA_SOURCE, "none"))
    return RT_OK;
  const bool live = rt_deck_is(job->deck, RT_KEY_TEA_SOURCE, "live");
  const bool dense = rt_deck_is(job->deck, RT_KEY_TEA_TARGET, "full");
  if (dense)
    RT_TRY(check_dense(job));
  if (rt_target_draws(job).n > 0)
    RT_TRY(check_sampled(job));
  rt_teacher *t = calloc(1, sizeof *t);
  RT_CHECK(t != NULL, RT_ERR_MEM, "a teacher");
  *out = t;
  t->dense = dense;
  t->kind = live ? &rt_teacher_live_kind : &rt_teacher_disk_kind;
  return live ? rt_teacher_live_create(job, &t->self)
              : rt_teacher_disk_create(job, &t->self);
}

int rt_teacher_arenas(const rt_teacher *t, const rt_arena *plans[4])
{
  return t->kind->arenas(t->self, plans);
}

double rt_teacher_beside(const rt_teacher *t)
{
  return t->kind->beside(t->self);
}

rt_err rt_teacher_commit(rt_teacher *t, rt_job *job)
{
  return t->kind->commit(t->self, job);
}

void rt_teacher_destroy(rt_teacher **t)
{
  if (*t != NULL && (*t)->self != NULL)
    (*t)->kind->destroy((*t)->self);
  free(*t);
  *t = NULL;
}

bool rt_teacher_dense(const rt_teacher *t)
{
  return t->dense;
}

rt_err rt_teacher_on_row(void *teacher, const rt_batch *b, int64_t r)
{
  const rt_teacher *const t = teacher;
  return t->kind->on_row != NULL ? t->kind->on_row(t->self, b, r) : RT_OK;
}

rt_err rt_teacher_begin(rt_teacher *t, rt_job *job, const rt_batch *b)
{
  return t->kind->begin(t->self, job, b);
}

rt_err rt_teacher_chunk(rt_teacher *t, int64_t tok0, int64_t n, rt_view tile,
                        rt_targets *out)
{
  return t->kind->chunk(t->self, tok0, n, tile, out);
}
