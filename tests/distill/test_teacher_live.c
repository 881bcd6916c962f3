/** \file test_teacher_live.c
 *  Targets of a live teacher against plain formulas on the logits of one rank,
 *  for every tp of teacher and student: entries, draws and dense tiles.
 *  ranks: 1 2 4 */
#include "base/split.h"
#include "distill/job/weights.h"
#include "distill/teacher/teacher.h"
#include "support/scene.h"

#include <math.h>

enum { V = SCENE_V, T = SCENE_T, ROWS = 3, N = ROWS * T, K = 6 };
static const double top_p = 0.9, tau = 2.0;

/** A teacher beside the grid of a student, and the student's rows. */
typedef struct side {
  rt_grid student, grid;
  rt_dev *dev;
  rt_phases phases;
  rt_corpus *corpus;
  rt_batch *batch; // rows of this student group
  rt_teacher *teacher;
} side;

/** Rows [first, first + ROWS) of the stream. */
static rt_batch *read_rows(const rt_corpus *corpus, int64_t first)
{
  const rt_rows from = {.seq = T, .corpus = corpus, .mask_documents = true};
  int64_t rows[ROWS];
  rt_batch *b = NULL;
  for (int r = 0; r < ROWS; r++)
    rows[r] = first + r;
  RT_OKAY(rt_batch_create(&from, ROWS, &b));
  RT_OKAY(rt_batch_fill(b, RT_TRAIN, rows, ROWS, NULL));
  return b;
}

/** How the targets are asked for. */
typedef struct request {
  int tp_s, tp_t;
  const char *device;
  bool dense;
  int64_t draws;
} request;

static void start(side *x, const scene *s, const rt_comm *world, request how)
{
  *x = (side){0};
  RT_OKAY(rt_grid_init(&x->student, world, how.tp_s, "tp"));
  RT_OKAY(rt_grid_init(&x->grid, world, how.tp_t, "tp"));
  RT_OKAY(rt_dev_create(how.device, 1, &x->dev));
  rt_phases_start(&x->phases, RT_PHASE_FORWARD);
  x->corpus = scene_corpus(s, 0.01);
  x->batch = read_rows(x->corpus, x->student.i_dp * ROWS);
  rt_teacher_spec spec = {.source = RT_TEACHER_LIVE,
                          .dense = how.dense,
                          .model = {.world = world,
                                    .dev = x->dev,
                                    .types = rt_types_of(RT_F64),
                                    .student = &x->student,
                                    .teacher = &x->grid,
                                    .arch = &s->arch,
                                    .weights = s->teacher,
                                    .student_vocab = V,
                                    .micro_rows = ROWS,
                                    .seq = T},
                          .phases = &x->phases,
                          .rule = {.top_p = top_p, .top_k = K},
                          .tau = tau,
                          .target_type = RT_F64,
                          .chunk_bytes = 5.0 * V * sizeof(double)};
  if (how.draws > 0) {
    spec.rule = (rt_truncation){.top_p = 1.0, .top_k = how.draws};
    spec.draws = (rt_draws){.n = how.draws, .seed = 5};
    spec.tau = 1.0;
  }
  RT_OKAY(rt_teacher_create(&spec, &x->teacher));
  CU_ASSERT_EQUAL(rt_teacher_dense(x->teacher), how.dense);
  RT_OKAY(rt_teacher_commit(x->teacher));
  const int64_t waits = rt_dev_host_waits(x->dev);
  RT_OKAY(rt_teacher_begin(x->teacher, x->batch));
  CU_ASSERT_EQUAL(rt_dev_host_waits(x->dev), waits);
  CU_ASSERT(x->phases.now == RT_PHASE_FORWARD); // as it was
  CU_ASSERT(rt_phases_seconds(&x->phases, RT_PHASE_TEACHER) > 0.0);
}

static void finish(side *x)
{
  rt_teacher_destroy(&x->teacher);
  rt_batch_destroy(&x->batch);
  rt_corpus_close(&x->corpus);
  rt_dev_destroy(&x->dev);
  rt_grid_clear(&x->grid);
  rt_grid_clear(&x->student);
}

/** Logits [N, V] of the batch by the model alone on this rank. */
static void plain_logits(const scene *s, const rt_batch *b, double *z)
{
  rt_comm *self = NULL;
  rt_grid grid;
  rt_dev *dev = NULL;
  rt_model *m = NULL;
  rt_arena *arena = NULL;
  rt_tokens_in in = {.n_rows = ROWS, .seq = T};
  rt_view hidden, tile;
  RT_OKAY(rt_comm_create(MPI_COMM_SELF, &self));
  RT_OKAY(rt_grid_init(&grid, self, 1, "tp"));
  RT_OKAY(rt_dev_create("cpu", 1, &dev));
  const rt_model_spec spec = {.arch = &s->arch,
                              .grid = &grid,
                              .dev = dev,
                              .types = rt_types_of(RT_F64),
                              .max_rows = ROWS,
                              .seq = T};
  RT_OKAY(rt_model_create("plain", &spec, &m));
  RT_OKAY(rt_arena_create("plain", &arena));
  RT_OKAY(rt_arena_reserve(arena, "tok", RT_I32, N, 1, &in.tok));
  RT_OKAY(rt_arena_reserve(arena, "pos", RT_I32, N, 1, &in.pos));
  RT_OKAY(rt_arena_reserve(arena, "doc", RT_I32, N, 1, &in.doc_start));
  RT_OKAY(rt_arena_reserve(arena, "logits", RT_F64, N, V, &tile));
  RT_OKAY(rt_arena_commit(arena, rt_dev_memory(dev)));
  RT_OKAY(rt_model_commit(m));
  RT_OKAY(rt_weights_load(self, dev, m, s->teacher));
  RT_OKAY(rt_dev_put(dev, in.tok, b->tok));
  RT_OKAY(rt_dev_put(dev, in.pos, b->pos));
  RT_OKAY(rt_dev_put(dev, in.doc_start, b->doc_start));
  RT_OKAY(rt_model_forward(m, &in, &hidden));
  const rt_head head = rt_model_head(m);
  rt_head_logits(dev, &head, hidden, tile);
  RT_OKAY(rt_dev_get(dev, z, tile));
  rt_arena_destroy(&arena);
  rt_model_destroy(&m);
  rt_dev_destroy(&dev);
  rt_grid_clear(&grid);
  rt_comm_destroy(&self);
}

/** The target of one token, as defined. */
typedef struct target {
  int count, ids[K];
  double t[K], entropy;
} target;

static target plain_target(const double *z)
{
  target g = {0};
  bool kept[V] = {false};
  double max = -INFINITY, sum = 0.0, mass = 0.0, total = 0.0;
  for (int v = 0; v < V; v++)
    max = fmax(max, z[v]);
  for (int v = 0; v < V; v++)
    sum += exp(z[v] - max);
  const double lse = max + log(sum);
  while (g.count < K && mass < top_p) {
    int best = -1;
    for (int v = 0; v < V; v++)
      if (!kept[v] && (best < 0 || z[v] > z[best]))
        best = v;
    kept[best] = true;
    mass += exp(z[best] - lse);
    g.t[g.count] = exp((z[best] - lse) / tau);
    total += g.t[g.count];
    g.ids[g.count++] = best;
  }
  for (int i = 0; i < g.count; i++) {
    g.t[i] /= total;
    g.entropy -= g.t[i] * log(g.t[i]);
  }
  return g;
}

/** Tokens [tok0, tok0 + n). */
static void check_entries(const side *x, const double *z, int64_t tok0,
                          int64_t n)
{
  int32_t count[N], ids[N * K];
  double t[N * K], entropy[N];
  rt_targets got;
  RT_OKAY(rt_teacher_chunk(x->teacher, tok0, n, (rt_view){0}, &got));
  CU_ASSERT_FALSE(got.dense);
  RT_OKAY(rt_dev_get(x->dev, count, got.count));
  RT_OKAY(rt_dev_get(x->dev, ids, got.ids));
  RT_OKAY(rt_dev_get(x->dev, t, got.t));
  RT_OKAY(rt_dev_get(x->dev, entropy, got.entropy));
  for (int64_t i = 0; i < n; i++) {
    const target want = plain_target(z + (tok0 + i) * V);
    CU_ASSERT_EQUAL_FATAL(count[i], want.count);
    CU_ASSERT_DOUBLE_EQUAL(entropy[i], want.entropy, 1e-6);
    for (int k = 0; k < want.count; k++) {
      CU_ASSERT_EQUAL(ids[i * K + k], want.ids[k]);
      CU_ASSERT_DOUBLE_EQUAL(t[i * K + k], want.t[k], 1e-6);
    }
  }
}

static void test_entries(void)
{
  static double z[N * V];
  const int n = rt_test_ranks();
  scene s;
  scene_create(&s);
  for (int tp_s = 1; tp_s <= n; tp_s *= 2)
    for (int tp_t = 1; tp_t <= n; tp_t *= 2) {
      side x;
      start(&x, &s, s.world,
            (request){tp_s, tp_t, tp_s == tp_t ? "check" : "cpu", false, 0});
      plain_logits(&s, x.batch, z);
      check_entries(&x, z, 0, 5);
      check_entries(&x, z, 5, N - 5);
      finish(&x);
    }
  scene_clear(&s);
}

/** The student's tile of the teacher's logits, in the student's layout. */
static void check_tile(const side *x, const double *z)
{
  const int64_t local = rt_round_up(V, x->student.tp) / x->student.tp;
  const int64_t v0 = local * x->student.i_tp;
  rt_arena *arena = NULL;
  rt_view tile;
  rt_targets got;
  RT_OKAY(rt_arena_create("tile", &arena));
  RT_OKAY(rt_arena_reserve(arena, "tile", RT_F64, N, local, &tile));
  RT_OKAY(rt_arena_commit(arena, rt_dev_memory(x->dev)));
  double *const y = malloc((size_t)(N * local) * sizeof *y);
  CU_ASSERT_PTR_NOT_NULL_FATAL(y);
  for (int64_t at = 0; at < N; at += N / 2) {
    const rt_view part = rt_view_rows(tile, at, N / 2);
    RT_OKAY(rt_teacher_chunk(x->teacher, at, N / 2, part, &got));
    CU_ASSERT_TRUE(got.dense);
  }
  RT_OKAY(rt_dev_get(x->dev, y, tile));
  double most = 0.0;
  for (int64_t i = 0; i < N; i++)
    for (int64_t v = 0; v < local && v0 + v < V; v++)
      most = fmax(most, fabs(y[i * local + v] - z[i * V + v0 + v]));
  CU_ASSERT(most < 1e-9);
  free(y);
  rt_arena_destroy(&arena);
}

static void test_tiles(void)
{
  static double z[N * V];
  const int n = rt_test_ranks();
  scene s;
  scene_create(&s);
  for (int tp_s = 1; tp_s <= n; tp_s *= 2)
    for (int tp_t = 1; tp_t <= n; tp_t *= 2) {
      side x;
      start(&x, &s, s.world,
            (request){tp_s, tp_t, tp_s == tp_t ? "cpu" : "check", true, 0});
      plain_logits(&s, x.batch, z);
      check_tile(&x, z);
      finish(&x);
    }
  scene_clear(&s);
}

/** A row's draws are its own: those of a rank alone, whatever group computes
 *  them.  Each has its times among all draws as its target. */
static void test_draws(void)
{
  enum { DRAWS = 9 };
  const int n = rt_test_ranks();
  int32_t count[2][N], ids[2][N * DRAWS];
  double t[2][N * DRAWS];
  scene s;
  rt_comm *self = NULL;
  scene_create(&s);
  RT_OKAY(rt_comm_create(MPI_COMM_SELF, &self));
  for (int i = 0; i < 2; i++) {
    side x;
    rt_targets got;
    start(&x, &s, i == 0 ? self : s.world,
          (request){1, i == 0 ? 1 : n, "cpu", false, DRAWS});
    if (i == 0) { // the rows that this rank has in the other case
      rt_batch_destroy(&x.batch);
      x.batch = read_rows(x.corpus, rt_comm_rank(s.world) * ROWS);
      RT_OKAY(rt_teacher_begin(x.teacher, x.batch));
    }
    RT_OKAY(rt_teacher_chunk(x.teacher, 0, N, (rt_view){0}, &got));
    RT_OKAY(rt_dev_get(x.dev, count[i], got.count));
    RT_OKAY(rt_dev_get(x.dev, ids[i], got.ids));
    RT_OKAY(rt_dev_get(x.dev, t[i], got.t));
    finish(&x);
  }
  for (int i = 0; i < N; i++) {
    double sum = 0.0;
    CU_ASSERT_EQUAL_FATAL(count[0][i], count[1][i]);
    for (int k = i * DRAWS; k < i * DRAWS + count[0][i]; k++) {
      CU_ASSERT_EQUAL(ids[0][k], ids[1][k]);
      CU_ASSERT_DOUBLE_EQUAL(t[0][k], t[1][k], 1e-12);
      CU_ASSERT_DOUBLE_EQUAL(t[0][k] * DRAWS, round(t[0][k] * DRAWS), 1e-5);
      sum += t[0][k];
    }
    CU_ASSERT_DOUBLE_EQUAL(sum, 1.0, 1e-12);
  }
  rt_comm_destroy(&self);
  scene_clear(&s);
}

RT_TEST_MAIN("teacher_live", {"entries on any tp", test_entries},
             {"tiles on any tp", test_tiles}, {"draws", test_draws})
