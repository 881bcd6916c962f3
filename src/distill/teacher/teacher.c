/** \file teacher.c
 *  Dispatches to the two kinds of teacher. */
#include "distill/teacher/teacher_kind.h"

#include <stdlib.h>

struct rt_teacher {
  const rt_teacher_kind *kind;
  void *self; // owned
  bool dense;
};

rt_err rt_teacher_create(const rt_teacher_spec *spec, rt_teacher **out)
{
  *out = NULL;
  if (spec->source == RT_TEACHER_NONE)
    return RT_OK;
  const bool live = spec->source == RT_TEACHER_LIVE;
  RT_ASSERT(live || !spec->dense);
  rt_teacher *t = calloc(1, sizeof *t);
  RT_CHECK(t != NULL, RT_ERR_MEM, "a teacher");
  *out = t;
  t->dense = spec->dense;
  t->kind = live ? &rt_teacher_live_kind : &rt_teacher_disk_kind;
  return live ? rt_teacher_live_create(spec, &t->self)
              : rt_teacher_disk_create(spec, &t->self);
}

int rt_teacher_arenas(const rt_teacher *t, const rt_arena *plans[4])
{
  return t->kind->arenas(t->self, plans);
}

double rt_teacher_beside(const rt_teacher *t)
{
  return t->kind->beside(t->self);
}

rt_err rt_teacher_commit(rt_teacher *t)
{
  return t->kind->commit(t->self);
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

rt_err rt_teacher_begin(rt_teacher *t, const rt_batch *b)
{
  return t->kind->begin(t->self, b);
}

rt_err rt_teacher_chunk(rt_teacher *t, int64_t tok0, int64_t n, rt_view tile,
                        rt_targets *out)
{
  return t->kind->chunk(t->self, tok0, n, tile, out);
}
