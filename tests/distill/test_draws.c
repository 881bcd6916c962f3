/** \file test_draws.c
 *  Random draws from a teacher's softmax: independent of the layout, with the
 *  teacher's frequencies, and an unbiased gradient.
 *  ranks: 1 2 4 */
#include "distill/data/batch.h"
#include "distill/job/weights.h"
#include "distill/teacher/trunc_head.h"
#include "support/scene.h"

#include <math.h>

enum { N_ROWS = 12, N_DRAWS = 50, N_SEEDS = 20, N_TOKENS = N_ROWS * SCENE_T };

/** The teacher on a grid, and rows of the corpus. */
typedef struct side {
  rt_grid grid;
  rt_dev *dev;
  rt_model *model;
  rt_corpus *corpus;
  rt_batch *batch;
} side;

static void start(side *x, const scene *s, const rt_comm *comm)
{
  *x = (side){.corpus = scene_corpus(s, 0.01)};
  const rt_rows from = {
      .seq = SCENE_T, .corpus = x->corpus, .mask_documents = true};
  RT_OKAY(rt_grid_init(&x->grid, comm, rt_comm_size(comm), "tp"));
  RT_OKAY(rt_dev_create("cpu", 1, &x->dev));
  const rt_model_spec spec = {.arch = &s->arch,
                              .grid = &x->grid,
                              .dev = x->dev,
                              .max_rows = 1,
                              .seq = SCENE_T};
  RT_OKAY(rt_model_create("teacher", &spec, &x->model));
  RT_OKAY(rt_model_commit(x->model));
  RT_OKAY(rt_weights_load(comm, x->dev, x->model, s->teacher));
  RT_OKAY(rt_batch_create(&from, N_ROWS, &x->batch));
}

static void finish(side *x)
{
  rt_batch_destroy(&x->batch);
  rt_model_destroy(&x->model);
  rt_corpus_close(&x->corpus);
  rt_dev_destroy(&x->dev);
  rt_grid_clear(&x->grid);
}

/** Add \a scale times the probabilities of each token of rows [first, first +
 *  N_ROWS) to \a p [tokens, V]: those of \a draws, or without any the whole
 *  softmax. */
static void add_rows(side *x, rt_draws draws, int64_t first, double scale,
                     double *p)
{
  const rt_batch *const b = x->batch;
  const int64_t k = draws.n > 0 ? draws.n : SCENE_V;
  const rt_entries_spec room = {.n = N_TOKENS, .k = k};
  const rt_trunc_spec spec = {.model = x->model,
                              .grid = &x->grid,
                              .dev = x->dev,
                              .rule = {.top_p = 1.0, .top_k = k},
                              .draws = draws,
                              .chunk_bytes = 1e6,
                              .seq = SCENE_T};
  rt_trunc_head *head = NULL;
  rt_entries e;
  int64_t rows[N_ROWS];
  for (int r = 0; r < N_ROWS; r++)
    rows[r] = first + r;
  RT_OKAY(rt_batch_fill(x->batch, RT_TRAIN, rows, N_ROWS, NULL));
  RT_OKAY(rt_entries_create(&room, &e));
  RT_OKAY(rt_trunc_head_create(&spec, &head));
  RT_OKAY(rt_trunc_head_commit(head));
  const rt_host_rows in = {.tok = b->tok,
                           .pos = b->pos,
                           .doc_start = b->doc_start,
                           .label = b->label,
                           .row = b->row,
                           .n_rows = N_ROWS};
  RT_OKAY(rt_trunc_head_run(head, &in, &e));
  for (int t = 0; t < N_TOKENS; t++)
    for (int i = 0; i < e.count[t]; i++)
      p[t * SCENE_V + e.ids[t * k + i]] +=
          scale * exp((double)e.logp[t * k + i]);
  rt_trunc_head_destroy(&head);
  rt_entries_clear(&e);
}

static double *new_rows(void)
{
  double *const p = calloc((size_t)N_TOKENS * SCENE_V, sizeof *p);
  CU_ASSERT_PTR_NOT_NULL_FATAL(p);
  return p;
}

/** Number of tokens whose draws differ. */
static int n_different(const double *a, const double *b)
{
  int n = 0;
  for (int t = 0; t < N_TOKENS; t++) {
    bool same = true;
    for (int v = 0; v < SCENE_V; v++)
      same = same && fabs(a[t * SCENE_V + v] - b[t * SCENE_V + v]) < 1e-9;
    n += !same;
  }
  return n;
}

/** The draws of these rows by a group of ranks; to free. */
static double *draw(const scene *s, const rt_comm *comm, uint64_t seed,
                    int64_t first)
{
  double *const p = new_rows();
  side x;
  start(&x, s, comm);
  add_rows(&x, (rt_draws){N_DRAWS, seed}, first, 1.0, p);
  finish(&x);
  return p;
}

static void test_layouts(void)
{
  enum { LATER = 5 };
  const size_t row = (size_t)SCENE_T * SCENE_V;
  scene s;
  rt_comm *self = NULL;
  scene_create(&s);
  RT_OKAY(rt_comm_create(MPI_COMM_SELF, &self));
  double *const alone = draw(&s, self, 3, 0), *const tp =
                                                  draw(&s, s.world, 3, 0);
  double *const other = draw(&s, self, 4, 0);
  double *const later = draw(&s, self, 3, LATER);
  CU_ASSERT(n_different(alone, tp) <= 1); // by rounding only
  CU_ASSERT(n_different(alone, other) > N_TOKENS / 2);
  // a row's draws are its own, wherever a batch begins
  for (size_t i = 0; i < (N_ROWS - LATER) * row; i++)
    CU_ASSERT_EQUAL(alone[LATER * row + i], later[i]);
  free(alone);
  free(tp);
  free(other);
  free(later);
  rt_comm_destroy(&self);
  scene_clear(&s);
}

/** Pearson's chi-squared of a token's draws over its ids with an expectation of
 *  5 or more, and the rest; *dof: degrees of freedom. */
static double pearson(const double *p, const double *mean, double n, int *dof)
{
  double sum = 0.0, rest = n, rest_got = n;
  *dof = 0;
  for (int v = 0; v < SCENE_V; v++) {
    const double want = n * p[v], got = n * mean[v];
    if (want < 5.0)
      continue;
    sum += (got - want) * (got - want) / want;
    rest -= want;
    rest_got -= got;
    (*dof)++;
  }
  return rest > 5.0 ? sum + (rest_got - rest) * (rest_got - rest) / rest
                    : ((*dof)--, sum);
}

/** Draws of many seeds, by all ranks together, against the whole softmax. */
static void test_unbiased(void)
{
  double *const p = new_rows(), *const mean = new_rows();
  scene s;
  side x;
  scene_create(&s);
  start(&x, &s, s.world);
  add_rows(&x, (rt_draws){0}, 0, 1.0, p);
  for (uint64_t seed = 0; seed < N_SEEDS; seed++)
    add_rows(&x, (rt_draws){N_DRAWS, seed}, 0, 1.0 / N_SEEDS, mean);
  finish(&x);
  scene_clear(&s);
  double chi = 0.0, dot = 0.0, full = 0.0, drawn = 0.0;
  int all = 0;
  for (int t = 0; t < N_TOKENS; t++) {
    int dof;
    chi +=
        pearson(p + t * SCENE_V, mean + t * SCENE_V, N_DRAWS * N_SEEDS, &dof);
    all += dof;
  }
  for (int i = 0; i < N_TOKENS * SCENE_V; i++) {
    // the gradient of an untrained student: 1 / V - target
    const double g = 1.0 / SCENE_V - p[i], h = 1.0 / SCENE_V - mean[i];
    dot += g * h;
    full += g * g;
    drawn += h * h;
  }
  const double degrees = acos(dot / sqrt(full * drawn)) * 180.0 / M_PI;
  CU_ASSERT(all > 10 * N_TOKENS);
  CU_ASSERT(fabs(chi / all - 1.0) < 5.0 * sqrt(2.0 / all));
  CU_ASSERT(degrees < 5.0);
  free(p);
  free(mean);
}

RT_TEST_MAIN("draws", {"the same on any layout", test_layouts},
             {"right on average", test_unbiased})
