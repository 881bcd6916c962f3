/** \file teacher_live.c
 *  The live teacher: a forward pass on its own grid, then truncated entries for
 *  any combination of tp (circle.h), or dense tiles (hidden_teacher.h). */
#include "distill/teacher/circle.h"
#include "distill/job/weights.h"
#include "distill/teacher/hidden_teacher.h"
#include "distill/teacher/target_store.h"
#include "distill/teacher/teacher_kind.h"
#include "distill/teacher/trunc_head.h"

#include "base/bundle.h"
#include <stdlib.h>

typedef struct live {
  rt_teacher_model is;
  rt_phases *phases;        // borrowed
  rt_hidden_teacher *dense; // owned; NULL if sparse
  rt_model *model;          // owned; NULL if dense
  rt_trunc_head *head;      // owned; NULL if dense
  rt_target_store store;
  rt_view tok, pos, doc_start; // dense: device i32 [rows * T, 1]
  rt_arena *arena;             // owned: memory of the three views above
  rt_view hidden;    // dense: hidden states of the current micro-batch
  rt_circle circle;  // owned
  rt_view logp;      // sparse, one group: f32 [rows * T, k] of entries
  rt_view board;     // sparse, a circle: f32, entries of all teacher groups
  void *block;       // owned: the arrays below
  int32_t *gathered; // [4][circle rows * T]: tok, pos, doc_start, label
  int64_t *row;      // [circle rows]: index in the stream
} live;

/** Dense teachers run all rows at once, because their results need not be
 *  bitwise equal to stored ones. */
static rt_err plan_dense(live *l)
{
  const int64_t tokens = l->is.micro_rows * l->is.seq;
  RT_TRY(rt_hidden_teacher_create(&l->is, "teacher", &l->dense));
  RT_TRY(rt_arena_create("teacher input", &l->arena));
  RT_TRY(rt_arena_reserve(l->arena, "tok", RT_I32, tokens, 1, &l->tok));
  RT_TRY(rt_arena_reserve(l->arena, "pos", RT_I32, tokens, 1, &l->pos));
  return rt_arena_reserve(l->arena, "doc_start", RT_I32, tokens, 1,
                          &l->doc_start);
}

/** Entries of a micro-batch on the way to its targets: log-probs, or in a
 *  circle count, ids and log-probs of the largest share. */
static rt_err plan_on_the_way(live *l)
{
  const rt_circle *const c = &l->circle;
  const int64_t share = rt_circle_count(c, 0) * l->is.seq, k = l->store.k;
  if (rt_circle_is_one(c))
    return rt_arena_reserve(l->store.arena, "log-probs", RT_F32, share, k,
                            &l->logp);
  return rt_arena_reserve(l->store.arena, "entries of the circle", RT_F32,
                          rt_comm_size(c->comm),
                          rt_circle_part(c, share * (1 + 2 * k)), &l->board);
}

static rt_err plan_entries(const rt_teacher_spec *spec, live *l)
{
  const rt_teacher_model *const is = &l->is;
  RT_TRY(rt_circle_init(is->world, is->student, is->teacher, is->micro_rows,
                        &l->circle));
  const rt_model_spec of_rows = {.arch = is->arch,
                                 .grid = is->teacher,
                                 .dev = is->dev,
                                 .types = is->types,
                                 .max_rows = 1,
                                 .seq = is->seq};
  RT_TRY(rt_model_create("teacher", &of_rows, &l->model));
  const rt_trunc_spec head = {.model = l->model,
                              .grid = is->teacher,
                              .dev = is->dev,
                              .rule = spec->rule,
                              .draws = spec->draws,
                              .chunk_bytes = spec->chunk_bytes,
                              .seq = is->seq,
                              .use = RT_TRUNC_QUEUE};
  RT_TRY(rt_trunc_head_create(&head, &l->head));
  l->store = (rt_target_store){.n = is->micro_rows * is->seq,
                               .k = spec->rule.top_k,
                               .type = spec->target_type,
                               .tau = spec->tau};
  RT_TRY(rt_target_store_init(&l->store, is->dev));
  return plan_on_the_way(l);
}

rt_err rt_teacher_live_create(const rt_teacher_spec *spec, void **self)
{
  live *l = calloc(1, sizeof *l);
  *self = l;
  RT_CHECK(l != NULL, RT_ERR_MEM, "a live teacher");
  l->is = spec->model;
  l->phases = spec->phases;
  return spec->dense ? plan_dense(l) : plan_entries(spec, l);
}

static int live_arenas(void *self, const rt_arena *plans[4])
{
  live *l = self;
  if (l->dense != NULL) {
    plans[0] = l->arena;
    return 1 + rt_hidden_teacher_arenas(l->dense, plans + 1);
  }
  plans[0] = rt_model_arena(l->model, 0);
  plans[1] = rt_model_arena(l->model, 1);
  plans[2] = rt_trunc_head_arena(l->head);
  plans[3] = l->store.arena;
  return 4;
}

/** Buffers to exchange rows in a circle. */
static void lay_out(live *l, rt_bundle *s)
{
  const int64_t rows = rt_circle_is_one(&l->circle)
                           ? 0
                           : rt_circle_rows(&l->circle),
                all = rows * l->is.seq;
  l->gathered = rt_bundle_take(s, 4 * (size_t)all, sizeof *l->gathered);
  l->row = rt_bundle_take(s, (size_t)rows, sizeof *l->row);
}

static size_t circle_bytes(const live *l)
{
  live counted = *l;
  rt_bundle s = {0};
  lay_out(&counted, &s);
  return s.bytes;
}

static double live_beside(const void *self)
{
  const live *l = self;
  if (l->dense != NULL)
    return rt_hidden_teacher_beside(l->dense);
  return (double)(rt_trunc_head_host_bytes(l->head) +
                  rt_target_store_host_bytes(&l->store) + circle_bytes(l) +
                  rt_comm_shared_bytes(l->circle.comm) *
                      (size_t)rt_comm_size(l->circle.comm));
}

static rt_err allocate_rows(live *l)
{
  rt_bundle s = {.bytes = circle_bytes(l)};
  RT_TRY(rt_bundle_alloc(&s, "rows of a circle; reduce train.micro_rows"));
  l->block = s.block;
  lay_out(l, &s);
  return RT_OK;
}

/** The part of the commit that is local to this rank. */
static rt_err commit_own(live *l)
{
  if (l->dense != NULL)
    return rt_arena_commit(l->arena, rt_dev_memory(l->is.dev));
  RT_TRY(rt_trunc_head_commit(l->head));
  RT_TRY(rt_target_store_commit(&l->store));
  return allocate_rows(l);
}

static rt_err live_commit(void *self)
{
  live *l = self;
  RT_TRY(rt_agree(l->is.world, commit_own(l)));
  if (l->dense != NULL)
    return rt_hidden_teacher_commit(l->dense);
  RT_TRY(rt_model_commit(l->model));
  return rt_weights_load(l->is.world, l->is.dev, l->model, l->is.weights);
}

static rt_err forward_dense(live *l, const rt_batch *b)
{
  const int64_t n = b->n_rows * l->is.seq;
  const rt_tokens_in in = {.tok = rt_view_rows(l->tok, 0, n),
                           .pos = rt_view_rows(l->pos, 0, n),
                           .doc_start = rt_view_rows(l->doc_start, 0, n),
                           .n_rows = b->n_rows,
                           .seq = l->is.seq};
  RT_TRY(rt_dev_put(l->is.dev, in.tok, b->tok));
  RT_TRY(rt_dev_put(l->is.dev, in.pos, b->pos));
  RT_TRY(rt_dev_put(l->is.dev, in.doc_start, b->doc_start));
  return rt_hidden_teacher_forward(l->dense, b, &in, &l->hidden);
}

/** The entries of a teacher group in the board. */
static rt_entry_views entries_of(const live *l, int i_teacher)
{
  const int64_t n = rt_circle_count(&l->circle, i_teacher) * l->is.seq;
  const int64_t k = l->store.k;
  float *const at = rt_circle_result(&l->circle, l->board, i_teacher).data;
  return (rt_entry_views){.count = rt_view_of(at, RT_I32, n, 1),
                          .ids = rt_view_of(at + n, RT_I32, n, k),
                          .logp = rt_view_of(at + n * (1 + k), RT_F32, n, k)};
}

/** Copy whole numbers: kernel copy takes real ones, and moves their bits. */
static void copy_ints(rt_dev *dev, rt_view from, rt_view to)
{
  from.dtype = to.dtype = RT_F32;
  RT_RUN(dev, copy, .x = from, .y = to);
}

/** Targets of this group's rows from the entries of the circle. */
static void form_my_rows(live *l)
{
  const int64_t seq = l->is.seq;
  for (int64_t row = 0; row < l->is.micro_rows;) {
    const rt_circle_run r = rt_circle_run_at(&l->circle, row);
    const int64_t from = r.from * seq, n = r.n * seq, at = r.to * seq;
    const rt_entry_views e = entries_of(l, r.i_teacher);
    const rt_targets to = rt_target_store_view(&l->store, at, n);
    copy_ints(l->is.dev, rt_view_rows(e.count, from, n), to.count);
    copy_ints(l->is.dev, rt_view_rows(e.ids, from, n), to.ids);
    rt_target_store_form(&l->store, at, rt_view_rows(e.logp, from, n));
    row += r.n;
  }
}

/** tp differs: exchange rows, run the forward, exchange entries. */
static rt_err begin_circle(live *l, const rt_batch *b)
{
  const int64_t all = rt_circle_rows(&l->circle) * l->is.seq;
  const size_t rows_bytes = (size_t)l->is.micro_rows * sizeof *b->row;
  const size_t bytes = (size_t)(l->is.micro_rows * l->is.seq) * sizeof *b->tok;
  int32_t *g = l->gathered;
  RT_TRY(rt_circle_gather(&l->circle, b->row, rows_bytes, l->row));
  RT_TRY(rt_circle_gather(&l->circle, b->tok, bytes, g));
  RT_TRY(rt_circle_gather(&l->circle, b->pos, bytes, g + all));
  RT_TRY(rt_circle_gather(&l->circle, b->doc_start, bytes, g + 2 * all));
  RT_TRY(rt_circle_gather(&l->circle, b->label, bytes, g + 3 * all));
  const int64_t at =
      rt_circle_first(&l->circle, l->circle.i_teacher) * l->is.seq;
  const rt_host_rows rows = {
      .tok = g + at,
      .pos = g + all + at,
      .doc_start = g + 2 * all + at,
      .label = g + 3 * all + at,
      .row = l->row + rt_circle_first(&l->circle, l->circle.i_teacher),
      .n_rows = rt_circle_count(&l->circle, l->circle.i_teacher)};
  const rt_entry_views mine = entries_of(l, l->circle.i_teacher);
  RT_TRY(rt_trunc_head_queue(l->head, &rows, &mine));
  RT_TRY(rt_circle_share(&l->circle, l->is.dev, l->board));
  form_my_rows(l);
  return RT_OK;
}

/** Equal tp: the student's rows are those of the teacher group. */
static rt_err begin_alone(live *l, const rt_batch *b)
{
  const rt_host_rows rows = {.tok = b->tok,
                             .pos = b->pos,
                             .doc_start = b->doc_start,
                             .label = b->label,
                             .row = b->row,
                             .n_rows = b->n_rows};
  const rt_entry_views to = {l->store.count, l->store.ids, l->logp};
  RT_TRY(rt_trunc_head_queue(l->head, &rows, &to));
  rt_target_store_form(&l->store, 0,
                       rt_view_rows(l->logp, 0, b->n_rows * b->seq));
  return RT_OK;
}

static rt_err live_begin(void *self, const rt_batch *b)
{
  live *l = self;
  const rt_phase was = rt_phases_to(l->phases, RT_PHASE_TEACHER);
  if (l->dense != NULL)
    RT_TRY(forward_dense(l, b));
  else if (rt_circle_is_one(&l->circle))
    RT_TRY(begin_alone(l, b));
  else
    RT_TRY(begin_circle(l, b));
  rt_phases_to(l->phases, was);
  return RT_OK;
}

static rt_err live_chunk(void *self, int64_t tok0, int64_t n, rt_view tile,
                         rt_targets *out)
{
  live *l = self;
  if (l->dense == NULL) {
    *out = rt_target_store_view(&l->store, tok0, n);
    return RT_OK;
  }
  const rt_head head = rt_hidden_teacher_head(l->dense);
  rt_head_logits(l->is.dev, &head, rt_view_rows(l->hidden, tok0, n), tile);
  *out = (rt_targets){.dense = true};
  return RT_OK;
}

static void live_destroy(void *self)
{
  live *l = self;
  rt_hidden_teacher_destroy(&l->dense);
  rt_target_store_clear(&l->store);
  rt_trunc_head_destroy(&l->head);
  rt_model_destroy(&l->model);
  rt_arena_destroy(&l->arena);
  rt_circle_clear(&l->circle);
  free(l->block);
  free(l);
}

const rt_teacher_kind rt_teacher_live_kind = {.arenas = live_arenas,
                                              .beside = live_beside,
                                              .commit = live_commit,
                                              .begin = live_begin,
                                              .chunk = live_chunk,
                                              .destroy = live_destroy};
