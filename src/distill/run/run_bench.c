/** \file run_bench.c
 *  Times parts of a training step in isolation. */
#include "distill/run/run_bench.h"

#include "distill/data/job_data.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/split.h"
#include "distill/loss/objective.h"
#include "distill/job/job_memory.h"
#include "distill/job/job_models.h"
#include "distill/teacher/job_teacher.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { N_PASSES = 3 }; // timed passes, after one warm-up pass

/** Number of micro-batches of a step on this rank. */
static int64_t n_micro(const rt_job *job)
{
  return job->rows_per_rank / job->micro_rows;
}

static int compare_times(const void *a, const void *b)
{
  const double x = *(const double *)a, y = *(const double *)b;
  return (x > y) - (x < y);
}

/** A function to time. */
typedef rt_err pass_fn(void *self, rt_job *job);

/** Median seconds of a pass, on the slowest rank.  Collective. */
static rt_err time_passes(rt_job *job, pass_fn *pass, void *self, double *out_s)
{
  double seconds[N_PASSES];
  for (int i = -1; i < N_PASSES; i++) {
    job->hooks->beat(i + 1, "bench");
    RT_TRY(rt_comm_barrier(job->world));
    const double since = rt_now_s();
    RT_TRY(pass(self, job));
    RT_TRY(rt_dev_sync(job->dev));
    if (i >= 0)
      seconds[i] = rt_now_s() - since;
  }
  qsort(seconds, N_PASSES, sizeof *seconds, compare_times);
  *out_s = seconds[N_PASSES / 2];
  return rt_comm_allreduce_host(job->world, out_s, 1, RT_F64, RT_MAX);
}

typedef struct gemm_bench {
  rt_model *model; // owned; only planned, for the shapes of its tiles
  rt_arena *arena; // owned: memory of the three views below
  rt_view x, w, y; // flat, as large as the largest product needs
  int64_t n;       // tokens
  double flops;    // per pass
} gemm_bench;

/** Is it a matrix with which tokens are multiplied? */
static bool is_factor(const gemm_bench *g, const rt_param *p)
{
  // an untied embedding is only a lookup; the head's tile is head.w
  const rt_head head = rt_model_head(g->model);
  return !p->vector && (p->bucket != 0 || p->w.rows != head.w.rows ||
                        rt_model_arch(g->model)->tied);
}

static rt_err plan_gemm(gemm_bench *g, const rt_job *job)
{
  rt_model_spec spec = rt_job_student(job);
  spec.train = true;
  RT_TRY(rt_model_create("student", &spec, &g->model));
  const rt_params *params = rt_model_params(g->model);
  int64_t in = 1, out = 1, weight = 1;
  g->n = job->micro_rows * job->seq;
  for (int i = 0; i < params->n; i++) {
    const rt_view w = params->item[i].w;
    if (!is_factor(g, &params->item[i]))
      continue;
    in = w.cols > in ? w.cols : in;
    out = w.rows > out ? w.rows : out;
    weight = w.rows * w.cols > weight ? w.rows * w.cols : weight;
    g->flops += 6.0 * (double)(g->n * w.rows * w.cols);
  }
  const rt_dtype real = job->types_s.act;
  RT_TRY(rt_arena_create("factors and products", &g->arena));
  RT_TRY(rt_arena_reserve(g->arena, "x", real, 1, g->n * in, &g->x));
  RT_TRY(rt_arena_reserve(g->arena, "w", real, 1, weight, &g->w));
  return rt_arena_reserve(g->arena, "y", real, 1, g->n * out, &g->y);
}

/** Initialise such that all numbers remain near 1, for any number of products.
 */
static rt_err start_gemm(gemm_bench *g, rt_job *job)
{
  RT_TRY(rt_arena_commit(g->arena, rt_dev_memory(job->dev)));
  RT_RUN(job->dev, fill, .y = g->x, .value = 1.0);
  RT_RUN(job->dev, fill, .y = g->w, .value = 1.0);
  RT_RUN(job->dev, fill, .y = g->y, .value = 1.0);
  return RT_OK;
}

/** Compute y = x w^T, dx = dy w and dw += dy^T x for every matrix. */
static rt_err gemm_pass(void *self, rt_job *job)
{
  gemm_bench *g = self;
  const rt_params *params = rt_model_params(g->model);
  for (int i = 0; i < params->n; i++) {
    const int64_t out = params->item[i].w.rows, in = params->item[i].w.cols;
    if (!is_factor(g, &params->item[i]))
      continue;
    const rt_view x = rt_view_of(g->x.data, g->x.dtype, g->n, in);
    const rt_view w = rt_view_of(g->w.data, g->w.dtype, out, in);
    const rt_view y = rt_view_of(g->y.data, g->y.dtype, g->n, out);
    RT_RUN(job->dev, gemm, .a = x, .b = w, .c = y, .trans_b = true,
           .alpha = 1.0 / (double)in);
    RT_RUN(job->dev, gemm, .a = y, .b = w, .c = x, .alpha = 1.0 / (double)out);
    RT_RUN(job->dev, gemm, .a = y, .b = x, .c = w, .trans_a = true,
           .alpha = 1e-9 / (double)g->n, .beta = 1.0);
  }
  return RT_OK;
}

rt_err rt_run_bench_gemm(rt_job *job)
{
  gemm_bench g = {0};
  double s = 0.0;
  rt_err err = rt_agree(job->world, plan_gemm(&g, job));
  const rt_arena *const plan[] = {g.arena};
  if (err == RT_OK)
    err = rt_job_check_memory(job, plan, 1, RT_PLAN_NOTHING);
  if (err == RT_OK)
    err = rt_agree(job->world, start_gemm(&g, job));
  if (err == RT_OK)
    err = time_passes(job, gemm_pass, &g, &s);
  if (err == RT_OK)
    rt_info("bench gemm: %.6f s a step, %.1f GFLOP/s a rank, %s",
            s * (double)n_micro(job), g.flops / s * 1e-9, rt_dev_library());
  if (err != RT_OK)
    rt_dev_drop(job->dev); // what is in its queues uses what goes now
  rt_arena_destroy(&g.arena);
  rt_model_destroy(&g.model);
  return err;
}

typedef struct taught {
  rt_teacher *teacher; // owned
  rt_batch *batch;     // owned; the first rows of the training stream
  rt_arena *arena;     // owned: ranges reserved by the caller
  rt_view tile;        // [chunk, V_pad / tp] for a dense teacher
  int64_t top_k;       // entries per token
} taught;

static rt_err make_taught(taught *t, rt_job *job)
{
  const rt_rows rows = rt_job_rows(job);
  rt_teacher_spec spec;
  RT_TRY(rt_job_teacher(job, &spec));
  RT_TRY(rt_teacher_create(&spec, &t->teacher));
  t->top_k = spec.rule.top_k;
  RT_CHECK(t->teacher != NULL, RT_ERR_CONFIG,
           "teacher.source is none: set it to live or dataset");
  RT_TRY(rt_batch_create(&rows, job->micro_rows, &t->batch));
  t->batch->on_row = rt_teacher_on_row;
  t->batch->on_row_self = t->teacher;
  return rt_arena_create("bench", &t->arena);
}

static rt_err fill_rows(taught *t, const rt_job *job)
{
  RT_CHECK(job->n_rows >= job->batch_rows, RT_ERR_CONFIG,
           "the corpus has %lld rows, a step takes %lld",
           (long long)job->n_rows, (long long)job->batch_rows);
  int64_t *rows = calloc((size_t)job->micro_rows, sizeof *rows);
  RT_CHECK(rows != NULL, RT_ERR_MEM, "%lld row numbers",
           (long long)job->micro_rows);
  for (int64_t r = 0; r < job->micro_rows; r++)
    rows[r] = job->grid_s.i_dp * job->micro_rows + r;
  const rt_err err =
      rt_batch_fill(t->batch, RT_TRAIN, rows, job->micro_rows, NULL);
  free(rows);
  return err;
}

/** Check the memory plan, allocate, load weights, read rows.  Collective. */
static rt_err start_taught(taught *t, rt_job *job, const rt_arena *more)
{
  const rt_arena *plans[6];
  int n = rt_teacher_arenas(t->teacher, plans);
  plans[n++] = t->arena;
  if (more != NULL)
    plans[n++] = more;
  rt_job_beside(job, "targets on the host", rt_teacher_beside(t->teacher));
  RT_TRY(rt_job_check_memory(job, plans, n, RT_PLAN_NOTHING));
  RT_TRY(rt_agree(job->world, rt_teacher_commit(t->teacher)));
  RT_TRY(
      rt_agree(job->world, rt_arena_commit(t->arena, rt_dev_memory(job->dev))));
  return rt_agree(job->world, fill_rows(t, job));
}

static void clear_taught(taught *t)
{
  rt_teacher_destroy(&t->teacher);
  rt_batch_destroy(&t->batch);
  rt_arena_destroy(&t->arena);
}

static rt_err plan_teacher(taught *t, rt_job *job)
{
  RT_CHECK(rt_deck_is(job->deck, RT_KEY_TEA_SOURCE, "live"), RT_ERR_CONFIG,
           "`retort bench teacher` times a live teacher: set "
           "teacher.source=live");
  RT_TRY(make_taught(t, job));
  if (!rt_teacher_dense(t->teacher))
    return RT_OK;
  const int64_t tp = job->grid_t.tp;
  const int64_t cols = rt_round_up(job->arch_t.vocab, tp) / tp;
  const rt_dtype real = job->types_t.tile;
  const double row_bytes = (double)cols * (double)rt_dtype_size(real);
  const double chunk = rt_job_chunk_bytes(job, &job->arch_t, &job->grid_t);
  const int64_t rows =
      rt_chunk_rows(job->micro_rows * job->seq, chunk / row_bytes);
  return rt_arena_reserve(t->arena, "teacher logit tile", real, rows, cols,
                          &t->tile);
}

static rt_err teacher_pass(void *self, rt_job *job)
{
  taught *t = self;
  const int64_t n = job->micro_rows * job->seq;
  rt_targets targets;
  RT_TRY(rt_teacher_begin(t->teacher, t->batch));
  for (int64_t at = 0; t->tile.rows > 0 && at < n; at += t->tile.rows) {
    const int64_t rows = n - at < t->tile.rows ? n - at : t->tile.rows;
    RT_TRY(rt_teacher_chunk(t->teacher, at, rows,
                            rt_view_rows(t->tile, 0, rows), &targets));
  }
  return RT_OK;
}

rt_err rt_run_bench_teacher(rt_job *job)
{
  taught t = {0};
  double s = 0.0;
  rt_err err = rt_agree(job->world, plan_teacher(&t, job));
  if (err == RT_OK)
    err = start_taught(&t, job, NULL);
  if (err == RT_OK)
    err = time_passes(job, teacher_pass, &t, &s);
  const double all_s = s * (double)n_micro(job);
  if (err == RT_OK)
    rt_info("bench teacher: %.6f s a step, %.1f tokens/s, %s", all_s,
            (double)(job->batch_rows * job->seq) / all_s, rt_dev_library());
  if (err != RT_OK)
    rt_dev_drop(job->dev); // the same
  clear_taught(&t);
  return err;
}

typedef struct loss_bench {
  taught with;
  rt_objective *objective;    // owned
  rt_view hidden, d_hidden;   // [N, D]
  rt_view w, g;               // [V_pad / tp, D]
  double planned_b, growth_b; // bytes
} loss_bench;

static rt_err plan_loss(loss_bench *b, rt_job *job)
{
  RT_TRY(make_taught(&b->with, job));
  RT_CHECK(!rt_teacher_dense(b->with.teacher), RT_ERR_CONFIG,
           "`retort bench loss` requires teacher.target=sparse");
  const int64_t n = job->micro_rows * job->seq, d = job->arch_s.width;
  const int64_t tp = job->grid_s.tp;
  const int64_t v = rt_round_up(job->arch_s.vocab, tp) / tp;
  const rt_types types = job->types_s;
  rt_arena *arena = b->with.arena;
  RT_TRY(rt_arena_reserve(arena, "hidden", types.act, n, d, &b->hidden));
  RT_TRY(rt_arena_reserve(arena, "d_hidden", types.act, n, d, &b->d_hidden));
  RT_TRY(rt_arena_reserve(arena, "head", types.weight, v, d, &b->w));
  RT_TRY(rt_arena_reserve(arena, "its gradient", types.grad, v, d, &b->g));
  const rt_objective_spec spec = {
      .dev = job->dev,
      .grid = &job->grid_s,
      .types = types,
      .chunk_bytes = rt_job_chunk_bytes(job, &job->arch_s, &job->grid_s),
      .max_tokens = n,
      .vocab_local = v,
      .kld = true,
      .tau = rt_deck_real(job->deck, RT_KEY_LOSS_TAU)};
  return rt_objective_create(&spec, &b->objective);
}

/** Resident memory in bytes: the peak since the last reset, or the current
 *  value. */
static rt_err resident(const char *field, double *out_b)
{
  char line[128];
  const size_t n = strlen(field);
  double kib = -1.0;
  FILE *f = fopen("/proc/self/status", "r");
  while (f != NULL && fgets(line, sizeof line, f) != NULL)
    if (strncmp(line, field, n) == 0)
      kib = strtod(line + n, NULL);
  if (f != NULL)
    fclose(f);
  RT_CHECK(kib >= 0.0, RT_ERR_IO, "/proc/self/status does not contain %s",
           field);
  *out_b = kib * 1024.0;
  return RT_OK;
}

/** Reset the peak of resident memory to the current value. */
static rt_err reset_peak(void)
{
  FILE *f = fopen("/proc/self/clear_refs", "w");
  const bool written = f != NULL && fputs("5", f) >= 0;
  const bool closed = f != NULL && fclose(f) == 0;
  RT_CHECK(written && closed, RT_ERR_IO,
           "cannot reset the peak of resident memory by /proc/self/clear_refs");
  return RT_OK;
}

/** Touch everything that a run has allocated before its first loss: inputs,
 *  outputs, targets, and the buffers that a BLAS keeps. */
static rt_err touch(loss_bench *b, rt_job *job)
{
  const int64_t d = b->w.cols, v = b->w.rows;
  const rt_view square = rt_view_rows(b->w, 0, d < v ? d : v);
  RT_RUN(job->dev, fill, .y = b->hidden, .value = 1.0);
  RT_RUN(job->dev, fill, .y = b->w, .value = 0.001);
  RT_RUN(job->dev, fill, .y = b->g, .value = 0.0);
  RT_RUN(job->dev, gemm, .a = b->hidden, .b = square,
         .c = rt_view_cols(b->d_hidden, 0, square.rows), .trans_b = true,
         .alpha = 1.0);
  RT_RUN(job->dev, fill, .y = b->d_hidden, .value = 0.0);
  RT_TRY(rt_teacher_begin(b->with.teacher, b->with.batch));
  return rt_dev_sync(job->dev);
}

/** The objective once: logits, loss and both gradients. */
static rt_err loss_pass(void *self, rt_job *job)
{
  loss_bench *b = self;
  const rt_head head = {.w = b->w,
                        .g = b->g,
                        .v0 = job->grid_s.i_tp * b->w.rows,
                        .vocab = job->arch_s.vocab};
  const rt_objective_in in = {.head = &head,
                              .hidden = b->hidden,
                              .d_hidden = b->d_hidden,
                              .b = b->with.batch,
                              .alpha = 0.5,
                              .weight_total =
                                  (double)(job->batch_rows * job->seq)};
  rt_objective_clear(b->objective);
  return rt_objective_run(b->objective, b->with.teacher, &in);
}

static rt_err measure_loss(loss_bench *b, rt_job *job)
{
  double before_b = 0.0, after_b = 0.0;
  RT_TRY(touch(b, job));
  RT_TRY(rt_agree(job->world, reset_peak()));
  RT_TRY(rt_agree(job->world, resident("VmRSS:", &before_b)));
  RT_TRY(rt_agree(job->world, rt_objective_commit(b->objective)));
  RT_TRY(loss_pass(b, job));
  RT_TRY(rt_dev_sync(job->dev));
  RT_TRY(rt_agree(job->world, resident("VmHWM:", &after_b)));
  double bytes[2] = {(double)rt_objective_bytes(b->objective),
                     after_b - before_b};
  RT_TRY(rt_comm_allreduce_host(job->world, bytes, 2, RT_F64, RT_MAX));
  b->planned_b = bytes[0];
  b->growth_b = bytes[1];
  return RT_OK;
}

rt_err rt_run_bench_loss(rt_job *job)
{
  loss_bench b = {0};
  double s = 0.0;
  rt_err err = rt_agree(job->world, plan_loss(&b, job));
  if (err == RT_OK)
    err = start_taught(&b.with, job, rt_objective_arena(b.objective));
  if (err == RT_OK)
    err = measure_loss(&b, job);
  if (err == RT_OK)
    err = time_passes(job, loss_pass, &b, &s);
  const double tokens = (double)(job->micro_rows * job->seq);
  if (err == RT_OK)
    rt_info("bench loss: %.3f MiB planned, %.3f MiB resident, beyond inputs "
            "and outputs; %.4f ns a token and id; %.0f tokens, V %lld, D %lld, "
            "%lld entries",
            b.planned_b * 0x1p-20, b.growth_b * 0x1p-20,
            s * 1e9 / (tokens * (double)job->arch_s.vocab), tokens,
            (long long)job->arch_s.vocab, (long long)job->arch_s.width,
            (long long)b.with.top_k);
  if (err != RT_OK)
    rt_dev_drop(job->dev); // the same
  rt_objective_destroy(&b.objective);
  clear_taught(&b.with);
  return err;
}
