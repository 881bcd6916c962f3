/** \file test_draws.c
 *  Capture by random draws: independent of the layout, with the teacher's
 *  frequencies, and an unbiased gradient.  Statistics of the whole softmax.
 *  ranks: 1 2 4 */
#include "support/scene.h"

#include <math.h>

enum { N_ROWS = 12, N_DRAWS = 50, N_SEEDS = 20, N_TOKENS = N_ROWS * SCENE_T };

// Static, because a run's hooks have no argument for it.
static void beat(int64_t step, const char *phase)
{
  (void)step;
  (void)phase;
}

static void waits(const char *phase)
{
  (void)phase;
}

static bool never(void)
{
  return false;
}

static const rt_hooks hooks = {scene_on_fatal, beat, waits, never};

/** Capture into \a folder; \a more: what the deck's capture has besides. */
static void capture(const scene *s, const rt_comm *world, const char *folder,
                    int tp, const char *more)
{
  char text[4 * RT_PATH_MAX];
  rt_deck *deck = NULL;
  rt_job job;
  snprintf(text, sizeof text,
           "run: {threads: 1}\n"
           "data: {files: [%s], seq: %d, eot: 0}\n"
           "teacher: {weights: %s, tp: %d}\n"
           "capture: {dir: \"%s\", rows: %d, shard_rows: 4, %s}\n",
           s->corpus, SCENE_T, s->teacher, tp, folder, N_ROWS, more);
  RT_OKAY(rt_deck_parse("test", text, 0, NULL, &deck));
  RT_OKAY(
      rt_job_init(&job, deck, world, &hooks, RT_NEED_TEACHER | RT_NEED_CORPUS));
  RT_OKAY(rt_run_capture(&job));
  rt_job_clear(&job);
  rt_deck_destroy(&deck);
}

/** Add \a scale times the probabilities of each token to \a p [tokens, V]. */
static void add_rows(const char *folder, double scale, double *p)
{
  rt_logits *ds = NULL;
  rt_logits_row row = {0};
  RT_OKAY(rt_logits_open(MPI_COMM_SELF, folder, RT_LOGITS_FINISHED, &ds));
  for (int64_t r = 0; r < N_ROWS; r++) {
    RT_OKAY(rt_logits_read(ds, r, &row));
    RT_OKAY(rt_logits_verify_row(ds, r, &row));
    int64_t at = 0;
    for (int64_t t = 0; t < SCENE_T; t++)
      for (uint32_t i = 0; i < row.count[t]; i++, at++)
        p[(r * SCENE_T + t) * SCENE_V + row.ids[at]] +=
            scale * exp((double)row.logp[at]);
  }
  rt_logits_row_clear(&row);
  rt_logits_close(&ds);
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

static void test_layouts(void)
{
  static const char draws[] = "encoding: sampled, draws: 50, draw_seed: 3";
  static const char later[] =
      "encoding: sampled, draws: 50, draw_seed: 3, first_row: 5";
  scene s;
  char folder[4][RT_PATH_MAX];
  scene_create(&s);
  const int n = rt_comm_size(s.world);
  for (int i = 0; i < 4; i++) {
    const char name[2] = {(char)('a' + i), '\0'};
    RT_OKAY(rt_path_join(folder[i], s.folder, name));
  }
  capture(&s, s.world, folder[0], 1, draws);
  capture(&s, s.world, folder[1], n, draws);
  capture(&s, s.world, folder[2], 1, "encoding: sampled, draw_seed: 4");
  capture(&s, s.world, folder[3], 1, later);
  if (rt_comm_rank(s.world) == 0) {
    double *p[4];
    for (int i = 0; i < 4; i++) {
      p[i] = new_rows();
      add_rows(folder[i], 1.0, p[i]);
    }
    CU_ASSERT(n_different(p[0], p[1]) <= 1); // over tp by rounding only
    CU_ASSERT(n_different(p[0], p[2]) > N_TOKENS / 2);
    // a row's draws are its own, wherever a capture begins
    const size_t five = (size_t)5 * SCENE_T * SCENE_V;
    double most = 0.0;
    for (size_t i = 0; i < 7 * five / 5; i++)
      most = fmax(most, fabs(p[0][five + i] - p[3][i]));
    CU_ASSERT_EQUAL(most, 0.0);
    for (int i = 0; i < 4; i++)
      free(p[i]);
  }
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

/** On one rank: draws of many seeds against the whole softmax. */
static void compare_with_full(const scene *s, const rt_comm *self)
{
  double *const p = new_rows(), *const mean = new_rows();
  char folder[RT_PATH_MAX], more[96];
  RT_OKAY(rt_path_join(folder, s->folder, "full"));
  capture(s, self, folder, 1, "encoding: exact, top_p: 1, top_k: 1000");
  add_rows(folder, 1.0, p);
  for (int seed = 0; seed < N_SEEDS; seed++) {
    char name[16];
    snprintf(name, sizeof name, "seed%d", seed);
    snprintf(more, sizeof more, "encoding: sampled, draws: %d, draw_seed: %d",
             N_DRAWS, seed);
    RT_OKAY(rt_path_join(folder, s->folder, name));
    capture(s, self, folder, 1, more);
    add_rows(folder, 1.0 / N_SEEDS, mean);
  }
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

/** Compare entropy and standard deviation with those of all logits. */
static void check_statistics(const char *folder)
{
  rt_logits *ds = NULL;
  rt_logits_row row = {0};
  RT_OKAY(rt_logits_open(MPI_COMM_SELF, folder, RT_LOGITS_FINISHED, &ds));
  for (int64_t r = 0; r < N_ROWS; r++) {
    RT_OKAY(rt_logits_read(ds, r, &row));
    CU_ASSERT_EQUAL_FATAL(row.n_entries, SCENE_T * SCENE_V);
    for (int64_t t = 0; t < SCENE_T; t++) {
      double entropy = 0.0, mean = 0.0, square = 0.0;
      for (int64_t i = 0; i < SCENE_V; i++) {
        const double x = (double)row.logp[t * SCENE_V + i];
        entropy -= exp(x) * x;
        mean += x / SCENE_V;
      }
      for (int64_t i = 0; i < SCENE_V; i++) {
        const double x = (double)row.logp[t * SCENE_V + i] - mean;
        square += x * x / SCENE_V;
      }
      CU_ASSERT_DOUBLE_EQUAL(row.entropy[t], entropy, 1e-5);
      CU_ASSERT_DOUBLE_EQUAL(row.deviation[t], sqrt(square), 1e-5);
    }
  }
  rt_logits_row_clear(&row);
  rt_logits_close(&ds);
}

static void test_statistics(void)
{
  static const char all[] =
      "encoding: exact, top_p: 1, top_k: 1000, statistics: true";
  scene s;
  char folder[RT_PATH_MAX];
  scene_create(&s);
  for (int tp = 1; tp <= rt_comm_size(s.world); tp *= 2) {
    const char name[2] = {(char)('0' + tp), '\0'};
    RT_OKAY(rt_path_join(folder, s.folder, name));
    capture(&s, s.world, folder, tp, all);
    if (rt_comm_rank(s.world) == 0)
      check_statistics(folder);
  }
  scene_clear(&s);
}

static void test_unbiased(void)
{
  scene s;
  scene_create(&s);
  if (rt_comm_rank(s.world) == 0) {
    rt_comm *self = NULL;
    RT_OKAY(rt_comm_create(MPI_COMM_SELF, &self));
    compare_with_full(&s, self);
    rt_comm_destroy(&self);
  }
  RT_OKAY(rt_comm_barrier(s.world));
  scene_clear(&s);
}

RT_TEST_MAIN("draws", {"the same on any layout", test_layouts},
             {"right on average", test_unbiased},
             {"entropy and deviation", test_statistics})
