/** \file test_progress.c
 *  Lines of metrics.jsonl and the speed of a run, from a few numbers.
 *  ranks: 1 2 */
#include "distill/train/progress.h"
#include "support/rt_test.h"

#include "base/log.h"
#include "distill/train/step.h"
#include "support/scratch.h"
#include <jansson.h>
#include <string.h>

enum { TOKENS = 64 };

typedef struct side {
  rt_comm *world;
  rt_phases phases;
  rt_peak peak;
  rt_progress p;
  char folder[RT_PATH_MAX];
} side;

static void open_at(side *x, int64_t step)
{
  const rt_progress_spec spec = {.world = x->world,
                                 .phases = &x->phases,
                                 .peak = &x->peak,
                                 .flops = 2e9,
                                 .n_steps = 10,
                                 .tokens_per_step = TOKENS,
                                 .threads = 3,
                                 .dp = 2,
                                 .tp = 1,
                                 .has_kd = true};
  RT_OKAY(rt_progress_init(&x->p, &spec, x->folder, step));
}

static void begin(side *x)
{
  memset(x, 0, sizeof *x);
  rt_log_setup(RT_LOG_INFO, RT_LOG_SILENT);
  RT_OKAY(rt_comm_create(MPI_COMM_WORLD, &x->world));
  rt_phases_start(&x->phases, RT_PHASE_SETUP);
  x->peak.gflops = 100.0;
  scratch_create(x->folder);
  open_at(x, 0);
}

static void end(side *x)
{
  rt_progress_clear(&x->p);
  scratch_remove(x->folder);
  rt_comm_destroy(&x->world);
}

static void steps(side *x, int64_t first, int64_t last)
{
  for (int64_t i = first; i <= last; i++) {
    const rt_step_result r = {.loss = 2.0, .lm = 3.0, .kd = 1.0, .alpha = 0.5};
    RT_OKAY(rt_progress_step(&x->p, i, &r));
  }
}

/** Line \a i of the metrics, counted from 0; NULL if there is none.  To
 *  release. */
static json_t *line_of(const side *x, int i)
{
  char path[RT_PATH_MAX], text[2048];
  json_t *found = NULL;
  RT_OKAY(rt_path_join(path, x->folder, "metrics.jsonl"));
  FILE *const f = fopen(path, "r");
  CU_ASSERT_PTR_NOT_NULL_FATAL(f);
  while (i >= 0 && fgets(text, sizeof text, f) != NULL)
    i--;
  if (i < 0)
    found = json_loads(text, 0, NULL);
  fclose(f);
  return found;
}

static bool has(const json_t *line, const char *kind, int64_t step)
{
  const char *const is = json_string_value(json_object_get(line, "kind"));
  return is != NULL && strcmp(is, kind) == 0 &&
         json_integer_value(json_object_get(line, "step")) == step;
}

/** A start says how the run is laid out; lines after the step from which a
 *  run resumes are made again. */
static void test_lines(void)
{
  side x;
  begin(&x);
  steps(&x, 1, 4);
  rt_progress_clear(&x.p);
  open_at(&x, 2);
  steps(&x, 3, 3);
  rt_progress_clear(&x.p);
  if (rt_comm_rank(x.world) == 0) {
    static const struct {
      const char *kind;
      int64_t step;
    } want[] = {
        {"start", 0}, {"train", 1}, {"train", 2}, {"start", 2}, {"train", 3}};
    for (int i = 0; i < 5; i++) {
      json_t *const line = line_of(&x, i);
      CU_ASSERT_TRUE(has(line, want[i].kind, want[i].step));
      if (i == 0) {
        CU_ASSERT_EQUAL(json_integer_value(json_object_get(line, "ranks")),
                        rt_comm_size(x.world));
        CU_ASSERT_EQUAL(json_integer_value(json_object_get(line, "dp")), 2);
        CU_ASSERT_EQUAL(json_integer_value(json_object_get(line, "threads")),
                        3);
        CU_ASSERT_PTR_NULL(json_object_get(line, "teacher_tp"));
      }
      if (i == 4)
        CU_ASSERT_EQUAL(json_integer_value(json_object_get(line, "tokens")),
                        3 * TOKENS);
      json_decref(line);
    }
    CU_ASSERT_PTR_NULL(line_of(&x, 5));
  }
  end(&x);
}

/** An evaluation that a stop has prevented is owed. */
static void test_owes(void)
{
  side x;
  begin(&x);
  const rt_eval_result r = {.tokens = 5, .loss = 1.0};
  const bool writes = rt_comm_rank(x.world) == 0;
  steps(&x, 1, 2);
  CU_ASSERT_EQUAL(rt_progress_owes(&x.p, 2), writes);
  RT_OKAY(rt_progress_eval(&x.p, 2, &r));
  rt_progress_clear(&x.p);
  open_at(&x, 2);
  CU_ASSERT_FALSE(rt_progress_owes(&x.p, 2));
  CU_ASSERT_EQUAL(rt_progress_owes(&x.p, 4), writes);
  end(&x);
}

/** FLOP/s of a rank count the time of training only. */
static void test_speed(void)
{
  side x;
  begin(&x);
  const double since = x.p.since;
  rt_test_sleep(0.2);
  rt_progress_pause(&x.p, since);
  CU_ASSERT_EQUAL(rt_progress_gflops(&x.p, 0), 0.0);
  rt_test_sleep(0.1);
  // 4 steps of 2 GFLOP in at least 0.1 s
  const double most = 4 * 2.0 / 0.1 / rt_comm_size(x.world);
  const double got = rt_progress_gflops(&x.p, 4);
  CU_ASSERT(got > 0.0 && got <= most);
  CU_ASSERT(x.p.paused >= 0.2);
  CU_ASSERT_EQUAL(rt_progress_wait(&x.p), 0.0);
  end(&x);
}

RT_TEST_MAIN("progress", {"lines of the metrics", test_lines},
             {"owed evaluations", test_owes}, {"speed", test_speed})
