/** \file test_step.c
 *  One training step on any layout, clipping, bad steps, ranks that read
 *  different texts.
 *  ranks: 1 2 4 */
#include "distill/train/step.h"
#include "support/corpus_dataset.h"
#include "support/scratch.h"

#include <math.h>

enum { SEQ = 8, BATCH = 8, V = 200, N_IDS = 1000 };

/** A trainer of a small model with everything below it. */
typedef struct scene {
  char folder[RT_PATH_MAX];
  rt_comm *comm;
  rt_grid grid;
  rt_dev *dev;
  rt_corpus *corpus;
  rt_phases phases;
  rt_trainer tr;
} scene;

typedef struct setup {
  MPI_Comm comm;
  int tp;
  int64_t micro_rows; // 0: all of a rank
  double clip, spike, eps, lr;
  int text; // first id of the text
} setup;

static const rt_arch arch = {.family = "llama",
                             .vocab = V,
                             .width = 16,
                             .n_blocks = 1,
                             .n_heads = 4,
                             .n_kv_heads = 4,
                             .head_dim = 4,
                             .ffn = 16,
                             .max_positions = SEQ,
                             .norm_eps = 1e-5,
                             .rope_theta = 1e4,
                             .tied = true,
                             .init_std = 0.2};

static void open_corpus(scene *x, int first)
{
  char name[32], path[RT_PATH_MAX];
  int rank;
  MPI_Comm_rank(MPI_COMM_WORLD, &rank);
  snprintf(name, sizeof name, "a%d.u16", rank);
  put_ids(rt_in(x->folder, name, path), N_IDS, first);
  const char *const files[] = {path};
  const rt_corpus_spec spec = plain_spec(files, SEQ);
  RT_OKAY(rt_corpus_open(&spec, &x->corpus));
}

static void plan(scene *x, const setup *how)
{
  rt_trainer *const tr = &x->tr;
  const rt_step_spec *const s = &tr->spec;
  const int64_t n = s->micro_rows * SEQ;
  const rt_model_spec model = {.arch = &arch,
                               .grid = &x->grid,
                               .dev = x->dev,
                               .max_rows = s->micro_rows,
                               .seq = SEQ,
                               .train = true};
  RT_OKAY(rt_model_create("student", &model, &tr->model));
  rt_params *const params = rt_model_params(tr->model);
  const rt_adamw_spec adamw = {.beta2 = 0.5, .eps = how->eps};
  RT_OKAY(rt_adamw_create(params, x->dev, &adamw, &tr->opt));
  RT_OKAY(rt_gradsync_create(params, x->dev, &tr->sync));
  const rt_objective_spec loss = {.dev = x->dev,
                                  .grid = &x->grid,
                                  .chunk_bytes = 4000.0,
                                  .max_tokens = n,
                                  .vocab_local =
                                      rt_model_head(tr->model).w.rows,
                                  .tau = 1.0};
  RT_OKAY(rt_objective_create(&loss, &tr->objective));
  RT_OKAY(rt_arena_create("input", &tr->input));
  RT_OKAY(rt_arena_reserve(tr->input, "tok", RT_I32, n, 1, &tr->tok));
  RT_OKAY(rt_arena_reserve(tr->input, "pos", RT_I32, n, 1, &tr->pos));
  RT_OKAY(
      rt_arena_reserve(tr->input, "doc_start", RT_I32, n, 1, &tr->doc_start));
}

static void start(scene *x, setup how)
{
  *x = (scene){0};
  rt_trainer *const tr = &x->tr;
  scratch_create(x->folder);
  RT_OKAY(rt_comm_create(how.comm, &x->comm));
  RT_OKAY(rt_grid_init(&x->grid, x->comm, how.tp, "tp"));
  RT_OKAY(rt_dev_create("cpu", RT_F64, 1, &x->dev));
  open_corpus(x, how.text);
  rt_phases_start(&x->phases, RT_PHASE_OTHER);
  const int64_t mine = BATCH / x->grid.dp;
  tr->spec =
      (rt_step_spec){.dev = x->dev,
                     .tp = x->grid.comm_tp,
                     .dp = x->grid.comm_dp,
                     .phases = &x->phases,
                     .batch_rows = BATCH,
                     .rows_per_rank = mine,
                     .micro_rows = how.micro_rows > 0 ? how.micro_rows : mine,
                     .seq = SEQ,
                     .clip = how.clip,
                     .spike = how.spike};
  tr->lr = (rt_schedule){.shape = RT_SHAPE_CONSTANT,
                         .max = how.lr,
                         .floor = how.lr,
                         .n_steps = 1000};
  plan(x, &how);
  RT_OKAY(rt_adamw_commit(tr->opt));
  RT_OKAY(rt_objective_commit(tr->objective));
  RT_OKAY(rt_arena_commit(tr->input, rt_dev_memory(x->dev)));
  RT_OKAY(rt_model_commit(tr->model));
  RT_OKAY(rt_params_random(rt_model_params(tr->model), x->dev, 3));
  const rt_feed_spec feed = {.rows = {.seq = SEQ, .corpus = x->corpus},
                             .group = x->grid.comm_tp,
                             .seed = 1,
                             .n_rows = rt_corpus_n_rows(x->corpus, RT_TRAIN),
                             .batch_rows = BATCH,
                             .rows_per_rank = mine,
                             .micro_rows = tr->spec.micro_rows,
                             .i_dp = x->grid.i_dp,
                             .n_steps = 1000};
  RT_OKAY(rt_feed_create(&feed, &tr->feed));
}

static void finish(scene *x)
{
  rt_trainer *const tr = &x->tr;
  rt_feed_destroy(&tr->feed);
  rt_objective_destroy(&tr->objective);
  rt_gradsync_destroy(&tr->sync);
  rt_adamw_destroy(&tr->opt);
  rt_model_destroy(&tr->model);
  rt_arena_destroy(&tr->input);
  rt_corpus_close(&x->corpus);
  rt_dev_destroy(&x->dev);
  rt_grid_clear(&x->grid);
  rt_comm_destroy(&x->comm);
  scratch_remove(x->folder);
}

static setup usual(MPI_Comm comm, int tp)
{
  return (setup){.comm = comm, .tp = tp, .eps = 1e-8, .lr = 0.01, .text = 100};
}

/** This rank's tile of the final norm's weights, whole on every rank. */
static void norm_weights(const scene *x, double w[16])
{
  const rt_param *const p =
      rt_params_find(rt_model_params(x->tr.model), "model.norm.weight");
  CU_ASSERT_PTR_NOT_NULL_FATAL(p);
  RT_OKAY(rt_params_arrive_all(rt_model_params(x->tr.model)));
  RT_OKAY(rt_dev_get(x->dev, w, p->w));
}

static void check_same(setup how, const rt_step_result *want, int n)
{
  scene x;
  rt_step_result got;
  start(&x, how);
  for (int i = 0; i < n; i++) {
    RT_OKAY(rt_trainer_step(&x.tr, i, &got));
    CU_ASSERT_DOUBLE_EQUAL(got.loss, want[i].loss, 1e-9);
    CU_ASSERT_DOUBLE_EQUAL(got.grad_norm, want[i].grad_norm, 1e-8);
    CU_ASSERT(got.lm == got.loss && got.kd == 0.0 && got.alpha == 0.0);
    CU_ASSERT(!got.bad && got.lr == 0.01);
  }
  CU_ASSERT(x.tr.n_updates == n && x.tr.n_skipped == 0);
  finish(&x);
}

/** Loss and norm of a rank alone, on dp and tp, in micro-steps or at once; the
 *  loss starts at that of a guess, and falls. */
static void test_layouts(void)
{
  enum { N_STEPS = 20 };
  scene x;
  rt_step_result want[N_STEPS];
  int n;
  MPI_Comm_size(MPI_COMM_WORLD, &n);
  start(&x, usual(MPI_COMM_SELF, 1));
  for (int i = 0; i < N_STEPS; i++)
    RT_OKAY(rt_trainer_step(&x.tr, i, &want[i]));
  finish(&x);
  CU_ASSERT_DOUBLE_EQUAL(want[0].loss, log(V), 1.5);
  CU_ASSERT(want[N_STEPS - 1].loss < 0.8 * want[0].loss);
  for (int tp = 1; tp <= n; tp *= 2)
    for (int64_t micro = 0; micro < 2; micro++) {
      setup how = usual(MPI_COMM_WORLD, tp);
      how.micro_rows = micro;
      check_same(how, want, N_STEPS);
    }
}

/** How far the final norm's weights move in one step.  With this epsilon an
 *  update is the gradient times lr / eps. */
static void move(double clip, double delta[16], double *norm)
{
  scene x;
  double before[16], after[16];
  rt_step_result r;
  setup how = usual(MPI_COMM_WORLD, 1);
  how.eps = 1e6;
  how.lr = 1e5;
  how.clip = clip;
  start(&x, how);
  norm_weights(&x, before);
  RT_OKAY(rt_trainer_step(&x.tr, 0, &r));
  norm_weights(&x, after);
  for (int i = 0; i < 16; i++)
    delta[i] = after[i] - before[i];
  *norm = r.grad_norm;
  finish(&x);
}

static void test_clip(void)
{
  double free_move[16], half[16], all[16], norm, again;
  move(0.0, free_move, &norm);
  CU_ASSERT(norm > 0.0);
  move(0.5 * norm, half, &again);
  CU_ASSERT_DOUBLE_EQUAL(again, norm, 1e-12); // as it was, before the clip
  move(2.0 * norm, all, &again);
  for (int i = 0; i < 16; i++) {
    CU_ASSERT(free_move[i] != 0.0);
    CU_ASSERT_DOUBLE_EQUAL(half[i] / free_move[i], 0.5, 1e-5);
    CU_ASSERT_DOUBLE_EQUAL(all[i] / free_move[i], 1.0, 1e-9);
  }
}

/** A spike, then NaN: nothing is updated, the steps are counted, and the
 *  running mean stays. */
static void test_bad(void)
{
  scene x;
  double before[16], after[16], bad[16];
  rt_step_result r;
  setup how = usual(MPI_COMM_WORLD, 1);
  how.spike = 3.0;
  start(&x, how);
  RT_OKAY(rt_trainer_step(&x.tr, 0, &r));
  CU_ASSERT(!r.bad);
  CU_ASSERT_EQUAL(x.tr.norm_mean, r.grad_norm); // the first is the mean
  const double mean = x.tr.norm_mean = r.grad_norm / 10.0;
  norm_weights(&x, before);
  RT_OKAY(rt_trainer_step(&x.tr, 1, &r));
  CU_ASSERT(r.bad && isfinite(r.loss));
  for (int i = 0; i < 16; i++)
    bad[i] = NAN;
  norm_weights(&x, after);
  for (int i = 0; i < 16; i++)
    CU_ASSERT_EQUAL(before[i], after[i]);
  RT_OKAY(rt_dev_put(
      x.dev,
      rt_params_find(rt_model_params(x.tr.model), "model.norm.weight")->w,
      bad));
  RT_OKAY(rt_trainer_step(&x.tr, 2, &r));
  CU_ASSERT(r.bad && !isfinite(r.loss));
  CU_ASSERT(x.tr.n_skipped == 2 && x.tr.n_updates == 1);
  CU_ASSERT_EQUAL(x.tr.norm_mean, mean);
  finish(&x);
}

/** Ranks of a tp group whose files differ: all are told, before the update.  A
 *  rank alone has none to differ from: the same step moves its weights. */
static void test_other_text(void)
{
  scene x;
  double before[16], after[16];
  rt_step_result r;
  int rank, n;
  MPI_Comm_rank(MPI_COMM_WORLD, &rank);
  MPI_Comm_size(MPI_COMM_WORLD, &n);
  setup how = usual(MPI_COMM_WORLD, n);
  how.text = rank == n - 1 && n > 1 ? 101 : 100;
  start(&x, how);
  norm_weights(&x, before);
  if (n > 1)
    RT_FAILS(rt_trainer_step(&x.tr, 4, &r), RT_ERR_DATA,
             "tp group have read different rows");
  else
    RT_OKAY(rt_trainer_step(&x.tr, 4, &r));
  norm_weights(&x, after);
  for (int i = 0; i < 16; i++)
    CU_ASSERT((before[i] == after[i]) == (n > 1));
  finish(&x);
}

RT_TEST_MAIN("step", {"any layout", test_layouts}, {"clipping", test_clip},
             {"bad steps", test_bad}, {"different texts", test_other_text})
