/** \file hidden_teacher.c */
#include "distill/teacher/hidden_teacher.h"

#include "base/split.h"
#include "distill/job/weights.h"
#include "distill/teacher/circle.h"
#include <stdlib.h>

/** Exchange among the ranks of a circle, if the layouts differ. */
typedef struct exchange {
  rt_circle circle; // owned
  rt_view tok, pos,
      doc_start;     // device, i32 [rows of this group's share * T, 1]
  rt_view board;     // real: hidden states of the circle; absent with one group
  rt_view hidden;    // real [micro rows * T, D]
  rt_view head;      // real [tile of the student's head, D]
  int32_t *gathered; // owned [3][circle rows * T]
} exchange;

struct rt_hidden_teacher {
  rt_teacher_model is;
  rt_model *model; // owned
  rt_arena *arena; // owned: memory of the exchange's views; NULL if the layouts
                   // are the same
  exchange x;
};

/** Rows of a tile of the student's head. */
static int64_t tile_rows(const rt_teacher_model *is)
{
  const int tp = is->student->tp;
  return rt_round_up(is->student_vocab, tp) / tp;
}

static rt_err plan_exchange(rt_hidden_teacher *t)
{
  const rt_teacher_model *is = &t->is;
  exchange *x = &t->x;
  const int64_t width = is->arch->width;
  const int64_t share = rt_circle_count(&x->circle, 0) * is->seq;
  RT_TRY(rt_arena_create("teacher, shared", &t->arena));
  RT_TRY(rt_arena_reserve(t->arena, "tok", RT_I32, share, 1, &x->tok));
  RT_TRY(rt_arena_reserve(t->arena, "pos", RT_I32, share, 1, &x->pos));
  RT_TRY(
      rt_arena_reserve(t->arena, "doc_start", RT_I32, share, 1, &x->doc_start));
  if (!rt_circle_is_one(&x->circle))
    RT_TRY(rt_arena_reserve(t->arena, "hidden states of the circle",
                            is->types.act, rt_comm_size(x->circle.comm),
                            rt_circle_part(&x->circle, share * width),
                            &x->board));
  RT_TRY(rt_arena_reserve(t->arena, "hidden states", is->types.act,
                          is->micro_rows * is->seq, width, &x->hidden));
  return rt_arena_reserve(t->arena, "head", is->types.weight, tile_rows(is),
                          width, &x->head);
}

rt_err rt_hidden_teacher_create(const rt_teacher_model *model, const char *name,
                                rt_hidden_teacher **out)
{
  rt_hidden_teacher *t = calloc(1, sizeof *t);
  *out = t;
  RT_CHECK(t != NULL, RT_ERR_MEM, "a teacher's hidden states");
  t->is = *model;
  RT_TRY(rt_circle_init(model->world, model->student, model->teacher,
                        model->micro_rows, &t->x.circle));
  if (!rt_circle_is_one(&t->x.circle) ||
      model->arch->vocab != model->student_vocab)
    RT_TRY(plan_exchange(t));
  const rt_model_spec spec = {.arch = model->arch,
                              .grid = model->teacher,
                              .dev = model->dev,
                              .types = model->types,
                              .max_rows = rt_circle_count(&t->x.circle, 0),
                              .seq = model->seq};
  return rt_model_create(name, &spec, &t->model);
}

int rt_hidden_teacher_arenas(const rt_hidden_teacher *t,
                             const rt_arena *plans[3])
{
  int n = 0;
  plans[n++] = rt_model_arena(t->model, 0);
  plans[n++] = rt_model_arena(t->model, 1);
  if (t->arena != NULL)
    plans[n++] = t->arena;
  return n;
}

double rt_hidden_teacher_beside(const rt_hidden_teacher *t)
{
  const rt_circle *const c = &t->x.circle;
  if (rt_circle_is_one(c)) // nothing is on its way
    return 0.0;
  const double rows = (double)rt_circle_rows(c);
  return 12.0 * rows * (double)t->is.seq +
         (double)(rt_comm_shared_bytes(c->comm) *
                  (size_t)rt_comm_size(c->comm));
}

static rt_err commit_exchange(rt_hidden_teacher *t)
{
  exchange *x = &t->x;
  RT_TRY(rt_arena_commit(t->arena, rt_dev_memory(t->is.dev)));
  if (rt_circle_is_one(&x->circle))
    return RT_OK;
  const size_t rows = (size_t)rt_circle_rows(&x->circle);
  x->gathered = malloc(3 * rows * (size_t)t->is.seq * sizeof *x->gathered);
  RT_CHECK(x->gathered != NULL, RT_ERR_MEM,
           "%zu rows of a circle: fewer train.micro_rows", rows);
  return RT_OK;
}

rt_err rt_hidden_teacher_commit(rt_hidden_teacher *t)
{
  const rt_teacher_model *is = &t->is;
  rt_err err = rt_model_commit(t->model);
  if (err == RT_OK && t->arena != NULL)
    err = commit_exchange(t);
  RT_TRY(rt_agree(is->world, err));
  RT_TRY(rt_weights_load(is->world, is->dev, t->model, is->weights));
  if (t->arena == NULL)
    return RT_OK;
  return rt_weights_load_head(is->world, is->dev, is->arch, is->weights,
                              is->student->i_tp * tile_rows(is), t->x.head);
}

void rt_hidden_teacher_destroy(rt_hidden_teacher **out)
{
  rt_hidden_teacher *t = *out;
  *out = NULL;
  if (t == NULL)
    return;
  rt_model_destroy(&t->model);
  rt_arena_destroy(&t->arena);
  rt_circle_clear(&t->x.circle);
  free(t->x.gathered);
  free(t);
}

const rt_comm *rt_hidden_teacher_comm(const rt_hidden_teacher *t)
{
  return t->x.circle.comm;
}

/** Gather the rows of the circle, and copy the share of this teacher group to
 *  the device. */
static rt_err gather_rows(rt_hidden_teacher *t, const rt_batch *b,
                          rt_tokens_in *in)
{
  const exchange *x = &t->x;
  const rt_teacher_model *is = &t->is;
  const size_t bytes = (size_t)(is->micro_rows * is->seq) * sizeof *b->tok;
  const int64_t all = rt_circle_rows(&x->circle) * is->seq;
  const int64_t at = rt_circle_first(&x->circle, x->circle.i_teacher) * is->seq;
  const int64_t n_rows = rt_circle_count(&x->circle, x->circle.i_teacher);
  const int64_t n = n_rows * is->seq;
  int32_t *const g = x->gathered;
  RT_TRY(rt_circle_gather(&x->circle, b->tok, bytes, g));
  RT_TRY(rt_circle_gather(&x->circle, b->pos, bytes, g + all));
  RT_TRY(rt_circle_gather(&x->circle, b->doc_start, bytes, g + 2 * all));
  *in = (rt_tokens_in){.tok = rt_view_rows(x->tok, 0, n),
                       .pos = rt_view_rows(x->pos, 0, n),
                       .doc_start = rt_view_rows(x->doc_start, 0, n),
                       .n_rows = n_rows,
                       .seq = is->seq};
  if (n_rows == 0)
    return RT_OK;
  RT_TRY(rt_dev_put(is->dev, in->tok, g + at));
  RT_TRY(rt_dev_put(is->dev, in->pos, g + all + at));
  return rt_dev_put(is->dev, in->doc_start, g + 2 * all + at);
}

/** Rows [row0, row0 + n) of T tokens each in the result of a teacher group. */
static rt_view states_of(const rt_hidden_teacher *t, int i_teacher,
                         int64_t row0, int64_t n)
{
  const rt_teacher_model *is = &t->is;
  const rt_view all = rt_circle_result(&t->x.circle, t->x.board, i_teacher);
  const int64_t tokens = rt_circle_count(&t->x.circle, i_teacher) * is->seq;
  return rt_view_rows(rt_view_of(all.data, all.dtype, tokens, is->arch->width),
                      row0 * is->seq, n * is->seq);
}

/** Forward, by all groups of the circle together.  Groups without rows left
 *  take part with stale rows, whose hidden states are not used. */
static rt_err forward_circle(rt_hidden_teacher *t, const rt_batch *b,
                             rt_view *hidden)
{
  exchange *x = &t->x;
  rt_dev *dev = t->is.dev;
  const int64_t seq = t->is.seq;
  rt_tokens_in in;
  rt_view h;
  RT_TRY(gather_rows(t, b, &in));
  if (in.n_rows > 0) {
    RT_TRY(rt_model_forward(t->model, &in, &h));
    RT_RUN(dev, copy, .x = h,
           .y = states_of(t, x->circle.i_teacher, 0, in.n_rows));
  }
  RT_TRY(rt_circle_share(&x->circle, dev, x->board));
  for (int64_t row = 0; row < t->is.micro_rows;) {
    const rt_circle_run r = rt_circle_run_at(&x->circle, row);
    RT_RUN(dev, copy, .x = states_of(t, r.i_teacher, r.from, r.n),
           .y = rt_view_rows(x->hidden, r.to * seq, r.n * seq));
    row += r.n;
  }
  *hidden = x->hidden;
  return RT_OK;
}

rt_err rt_hidden_teacher_forward(rt_hidden_teacher *t, const rt_batch *b,
                                 const rt_tokens_in *in, rt_view *hidden)
{
  if (!rt_circle_is_one(&t->x.circle))
    return forward_circle(t, b, hidden);
  return in->n_rows > 0 ? rt_model_forward(t->model, in, hidden) : RT_OK;
}

rt_head rt_hidden_teacher_head(const rt_hidden_teacher *t)
{
  const rt_teacher_model *is = &t->is;
  if (t->arena == NULL)
    return rt_model_head(t->model);
  return (rt_head){.w = t->x.head,
                   .v0 = is->student->i_tp * tile_rows(is),
                   .vocab = rt_arch_true_vocab(is->arch)};
}
