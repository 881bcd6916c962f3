/** \file train_scene.c */
#include "support/train_scene.h"

#include "base/split.h"
#include "support/small_arch.h"
#include <errno.h>

enum { N_IDS = 1000 };

/** Ranks with the same text share its file: the first to write it names it. */
static void open_corpus(train_scene *x, int first)
{
  char name[32], mine[RT_PATH_MAX], path[RT_PATH_MAX];
  int rank;
  MPI_Comm_rank(MPI_COMM_WORLD, &rank);
  snprintf(name, sizeof name, "draft%d", rank);
  put_ids(rt_in(x->folder, name, mine), N_IDS, first);
  snprintf(name, sizeof name, "a%d.u16", first);
  rt_in(x->folder, name, path);
  CU_ASSERT(link(mine, path) == 0 || errno == EEXIST);
  const char *const files[] = {path};
  const rt_corpus_spec spec = plain_spec(files, TRAIN_SEQ);
  RT_OKAY(rt_corpus_open(&spec, &x->corpus));
}

static rt_step_spec step_of(train_scene *x, const train_setup *how)
{
  const int64_t mine = TRAIN_BATCH / x->grid.dp;
  return (rt_step_spec){.dev = x->dev,
                        .tp = x->grid.comm_tp,
                        .dp = x->grid.comm_dp,
                        .phases = &x->phases,
                        .batch_rows = TRAIN_BATCH,
                        .rows_per_rank = mine,
                        .micro_rows =
                            how->micro_rows > 0 ? how->micro_rows : mine,
                        .seq = TRAIN_SEQ,
                        .clip = how->clip,
                        .spike = how->spike,
                        .stop = how->stop};
}

static rt_feed_spec feed_of(const train_scene *x, const rt_step_spec *step)
{
  return (rt_feed_spec){.rows = {.seq = TRAIN_SEQ, .corpus = x->corpus},
                        .group = x->grid.comm_tp,
                        .seed = 1,
                        .n_rows = rt_corpus_n_rows(x->corpus, RT_TRAIN),
                        .batch_rows = TRAIN_BATCH,
                        .rows_per_rank = step->rows_per_rank,
                        .micro_rows = step->micro_rows,
                        .i_dp = x->grid.i_dp,
                        .n_steps = TRAIN_STEPS};
}

rt_trainer_spec train_spec(train_scene *x, const train_setup *how)
{
  const rt_step_spec step = step_of(x, how);
  const int tp = x->grid.tp;
  return (rt_trainer_spec){
      .world = x->comm,
      .step = step,
      .student = {.arch = &x->arch,
                  .grid = &x->grid,
                  .dev = x->dev,
                  .types = rt_types_of(RT_F64),
                  .max_rows = step.micro_rows,
                  .seq = TRAIN_SEQ,
                  .train = true},
      .weights = "",
      .seed = 3,
      .adamw = {.beta2 = 0.5, .eps = how->eps},
      .loss = {.dev = x->dev,
               .types = rt_types_of(RT_F64),
               .grid = &x->grid,
               .chunk_bytes = 4000.0,
               .max_tokens = step.micro_rows * TRAIN_SEQ,
               .vocab_local = rt_round_up(TRAIN_V, tp) / tp,
               .tau = 1.0},
      .lr = {.shape = RT_SHAPE_CONSTANT,
             .max = how->lr,
             .floor = how->lr,
             .n_steps = TRAIN_STEPS},
      .feed = feed_of(x, &step)};
}

void train_open(train_scene *x, const train_setup *how)
{
  *x = (train_scene){.arch = small_arch(TRAIN_V)};
  x->arch.n_blocks = 1;
  scratch_create(x->folder);
  RT_OKAY(rt_comm_create(how->comm, &x->comm));
  RT_OKAY(rt_grid_init(&x->grid, x->comm, how->tp, "tp"));
  RT_OKAY(rt_dev_create(how->device != NULL ? how->device : "cpu", 1, &x->dev));
  open_corpus(x, how->text);
  rt_phases_start(&x->phases, RT_PHASE_OTHER);
}

void train_start(train_scene *x, train_setup how)
{
  train_open(x, &how);
  const rt_trainer_spec spec = train_spec(x, &how);
  RT_OKAY(rt_trainer_create(&spec, &x->tr));
  RT_OKAY(rt_trainer_commit(x->tr));
  RT_OKAY(rt_trainer_seek(x->tr, 0));
}

void train_finish(train_scene *x)
{
  rt_trainer_destroy(&x->tr);
  rt_corpus_close(&x->corpus);
  rt_comm_forget(x->dev);
  rt_dev_destroy(&x->dev);
  rt_grid_clear(&x->grid);
  rt_comm_destroy(&x->comm);
  scratch_remove(x->folder);
}

void train_step(train_scene *x, int64_t step, rt_step_result *r)
{
  RT_OKAY(rt_trainer_step(x->tr, step));
  RT_OKAY(rt_trainer_result(x->tr, r));
  CU_ASSERT_EQUAL(rt_trainer_n_open(x->tr), 0);
}

train_setup train_usual(MPI_Comm comm, int tp)
{
  return (train_setup){
      .comm = comm, .tp = tp, .eps = 1e-8, .lr = 0.01, .text = 100};
}

void train_norm(const train_scene *x, double w[16])
{
  const rt_param *const p =
      rt_params_find(rt_model_params(x->tr->model), "model.norm.weight");
  CU_ASSERT_PTR_NOT_NULL_FATAL(p);
  RT_OKAY(rt_params_arrive_all(rt_model_params(x->tr->model)));
  RT_OKAY(rt_dev_get(x->dev, w, p->w));
}
