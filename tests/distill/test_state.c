/** \file test_state.c
 *  Weights and moments to checkpoints and back, on the layout that wrote them
 *  and on any other.
 *  ranks: 1 2 4 */
#include "distill/train/state.h"
#include "support/newest.h"
#include "support/param_set.h"
#include "support/scratch.h"

static const rt_adamw_spec adamw = {
    .beta1 = 0.9, .beta2 = 0.95, .eps = 1e-8, .weight_decay = 0.1};

static char folder[RT_PATH_MAX];

/** A model's tensors and their optimizer. */
typedef struct run {
  set s;
  rt_adamw *opt;
} run;

/** Initial values, with the master where there is one. */
static void put_weight(run *x, int i)
{
  const rt_param *const t = &x->s.p.item[i];
  double *const w = malloc((size_t)(t->n_rows * t->n_cols + 1) * sizeof *w);
  CU_ASSERT_FATAL(w != NULL);
  for (int64_t r = 0; r < t->n_rows; r++)
    for (int64_t c = 0; c < t->n_cols; c++)
      w[r * t->n_cols + c] = set_random(i, t->row0 + r, t->col0 + c, 0);
  RT_OKAY(rt_param_put(t, x->s.dev, 0,
                       rt_view_of(w, RT_F64, t->n_rows, t->n_cols)));
  free(w);
}

static rt_dtype type = RT_F64; // of all models of a test

static void run_start(run *x, MPI_Comm comm, int tp, const char *device)
{
  set_start(&x->s, (set_spec){comm, tp, device, type, 1, true});
  RT_OKAY(rt_adamw_create(&x->s.p, x->s.dev, &adamw, &x->opt));
  RT_OKAY(rt_adamw_commit(x->opt));
  for (int i = 0; i < x->s.p.n; i++)
    put_weight(x, i);
}

static void run_finish(run *x)
{
  rt_adamw_destroy(&x->opt);
  set_finish(&x->s);
}

static void update(run *x, int t)
{
  const k_adamw_step step = {.lr = 0.01 / t,
                             .grad_scale = 1.0,
                             .bias1 = 1.0 - pow(adamw.beta1, t),
                             .bias2 = 1.0 - pow(adamw.beta2, t)};
  for (int i = 0; i < x->s.p.n; i++)
    set_put(&x->s, i, x->s.p.item[i].g, set_random, t, 1.0);
  RT_OKAY(rt_dev_put(x->s.dev, rt_adamw_step(x->opt), &step));
  RT_OKAY(rt_adamw_update(x->opt));
  RT_OKAY(rt_params_arrive_all(&x->s.p));
}

static rt_state_spec state_of(run *x)
{
  return (rt_state_spec){.world = x->s.comm,
                         .dev = x->s.dev,
                         .params = &x->s.p,
                         .opt = x->opt,
                         .folder = folder};
}

static void write_at(run *x, int64_t step)
{
  const rt_state_spec spec = state_of(x);
  rt_checkpoint_meta meta = {
      .step = step, .deck = strdup("a: 1\n"), .arch = strdup("{\"a\": 1}\n")};
  RT_OKAY(rt_state_write(&spec, &meta));
  rt_checkpoint_meta_clear(&meta);
}

static rt_err read_at(const rt_state_spec *spec, int64_t step)
{
  rt_checkpoint_meta meta = {0};
  rt_err err =
      rt_checkpoint_read_meta(rt_comm_mpi(spec->world), folder, step, &meta);
  if (err == RT_OK)
    err = rt_state_read(spec, &meta);
  rt_checkpoint_meta_clear(&meta);
  return err;
}

/** What nobody wrote: into every tile, padding too. */
static void poison(run *x)
{
  for (int i = 0; i < x->s.p.n; i++) {
    RT_RUN(x->s.dev, fill, .y = x->s.p.item[i].w, .value = 1e9);
    if (x->s.p.item[i].master.rows > 0)
      RT_RUN(x->s.dev, fill, .y = x->s.p.item[i].master, .value = 1e9);
  }
}

/** Elements of x's tiles that differ from the whole tensors of \a alone;
 *  padding must be 0. */
static int n_different(const run *alone, const run *x)
{
  int n_bad = 0;
  for (int i = 0; i < x->s.p.n; i++) {
    const rt_param *t = &x->s.p.item[i];
    double *whole = set_get(&alone->s, alone->s.p.item[i].w);
    double *tile = set_get(&x->s, t->w);
    for (int64_t r = 0; r < t->n_rows + t->pad_rows; r++)
      for (int64_t c = 0; c < t->n_cols; c++)
        n_bad +=
            tile[r * t->n_cols + c] !=
            (r < t->n_rows ? whole[(t->row0 + r) * t->cols + t->col0 + c] : 0);
    free(whole);
    free(tile);
  }
  return n_bad;
}

/** Written after two updates on \a tp_from, read on \a tp_to, gone on: the same
 *  bits as a rank alone that never stopped. */
static void check_layouts(int tp_from, int tp_to, const char *device)
{
  run alone, from, to;
  run_start(&alone, MPI_COMM_SELF, 1, "cpu");
  run_start(&from, MPI_COMM_WORLD, tp_from, device);
  run_start(&to, MPI_COMM_WORLD, tp_to, device);
  for (int t = 1; t <= 2; t++) {
    update(&alone, t);
    update(&from, t);
  }
  write_at(&from, 2);
  poison(&to);
  const rt_state_spec spec = state_of(&to);
  RT_OKAY(read_at(&spec, 2));
  CU_ASSERT_EQUAL(n_different(&alone, &to), 0);
  update(&alone, 3); // moments, too
  update(&to, 3);
  CU_ASSERT_EQUAL(n_different(&alone, &to), 0);
  run_finish(&to);
  run_finish(&from);
  run_finish(&alone);
}

static void on_all_layouts(void)
{
  int n;
  MPI_Comm_size(MPI_COMM_WORLD, &n);
  for (int from = 1; from <= n; from *= 2)
    for (int to = 1; to <= n; to *= 2) {
      scratch_create(folder);
      check_layouts(from, to, from == to ? "check" : "cpu");
      scratch_remove(folder);
    }
}

static void test_layouts(void)
{
  on_all_layouts();
  type = RT_BF16; // masters are stored
  on_all_layouts();
  type = RT_F64;
}

/** For an evaluation: no optimizer is there. */
static void read_weights_alone(void)
{
  run alone, x;
  int n;
  MPI_Comm_size(MPI_COMM_WORLD, &n);
  scratch_create(folder);
  run_start(&alone, MPI_COMM_SELF, 1, "cpu");
  run_start(&x, MPI_COMM_WORLD, n, "cpu");
  write_at(&x, 7);
  poison(&x);
  rt_state_spec spec = state_of(&x);
  spec.opt = NULL;
  RT_OKAY(read_at(&spec, 7));
  CU_ASSERT_EQUAL(n_different(&alone, &x), 0);
  run_finish(&x);
  run_finish(&alone);
  scratch_remove(folder);
}

static void same_bytes(const char *a, const char *b)
{
  char path[RT_PATH_MAX], *one, *other;
  size_t n_one, n_other;
  snprintf(path, sizeof path, "%.2000s/step-00000002/state.h5", a);
  RT_OKAY(rt_file_slurp(path, 1 << 24, &one, &n_one));
  snprintf(path, sizeof path, "%.2000s/step-00000002/state.h5", b);
  RT_OKAY(rt_file_slurp(path, 1 << 24, &other, &n_other));
  CU_ASSERT_EQUAL_FATAL(n_one, n_other);
  CU_ASSERT_EQUAL(memcmp(one, other, n_one), 0);
  free(one);
  free(other);
}

/** What is written while updates go on is the state of the moment at which it
 *  was begun, to the last byte; the copy has the size that is planned. */
static void check_meanwhile(int tp, const char *device)
{
  char later[RT_PATH_MAX];
  run x;
  rt_state_writing writing;
  rt_worker *worker;
  scratch_create(folder);
  scratch_create(later);
  run_start(&x, MPI_COMM_WORLD, tp, device);
  update(&x, 1);
  write_at(&x, 2);
  rt_state_spec spec = state_of(&x);
  spec.folder = later;
  rt_checkpoint_meta meta = {
      .step = 2, .deck = strdup("a: 1\n"), .arch = strdup("{\"a\": 1}\n")};
  const size_t bytes = rt_pieces_written_bytes(&x.s.p, x.opt);
  char *const block = malloc(bytes); // exactly: a sanitizer sees one byte more
  RT_OKAY(rt_worker_create(&worker));
  RT_OKAY(rt_state_begin(&spec, &meta, block, worker, &writing));
  rt_checkpoint_meta_clear(&meta);
  size_t used = 0;
  for (int i = 0; i < writing.pieces.n; i++)
    used += rt_view_bytes(&writing.pieces.slab[i].data);
  CU_ASSERT_EQUAL(used, bytes);
  update(&x, 2);
  poison(&x);
  RT_OKAY(rt_checkpoint_finish(&writing.writer));
  rt_state_writing_clear(&writing);
  same_bytes(folder, later);
  rt_worker_destroy(&worker);
  free(block);
  run_finish(&x);
  scratch_remove(later);
  scratch_remove(folder);
}

static void test_meanwhile(void)
{
  int n;
  MPI_Comm_size(MPI_COMM_WORLD, &n);
  for (int tp = 1; tp <= n; tp *= 2)
    check_meanwhile(tp, tp == 1 ? "cpu" : "check");
}

static void test_weights_alone(void)
{
  read_weights_alone();
  type = RT_BF16;
  read_weights_alone();
  type = RT_F64;
}

/** A checkpoint of a run in bf16 is one of a run in f32. */
static void test_other_type(void)
{
  run low, wide;
  scratch_create(folder);
  type = RT_BF16;
  run_start(&low, MPI_COMM_WORLD, 1, "cpu");
  type = RT_F32;
  run_start(&wide, MPI_COMM_WORLD, 1, "cpu");
  update(&low, 1);
  update(&wide, 1); // from the same masters, with the same gradients
  write_at(&low, 1);
  poison(&wide);
  const rt_state_spec spec = state_of(&wide);
  RT_OKAY(read_at(&spec, 1));
  run same;
  run_start(&same, MPI_COMM_WORLD, 1, "cpu");
  update(&same, 1);
  CU_ASSERT_EQUAL(n_different(&same, &wide), 0);
  run_finish(&same);
  run_finish(&wide);
  run_finish(&low);
  type = RT_F64;
  scratch_remove(folder);
}

/** What was not written, or by a model of other tensors, is refused on all
 *  ranks; the newest is found. */
static void test_refused(void)
{
  run x;
  int64_t step;
  scratch_create(folder);
  run_start(&x, MPI_COMM_WORLD, 1, "cpu");
  rt_state_spec spec = state_of(&x);
  CU_ASSERT_NOT_EQUAL(read_at(&spec, 5), RT_OK);
  write_at(&x, 5);
  write_at(&x, 6);
  RT_OKAY(newest_step(MPI_COMM_WORLD, folder, &step));
  CU_ASSERT_EQUAL(step, 6);
  char name[sizeof x.s.p.item[1].name];
  memcpy(name, x.s.p.item[1].name, sizeof name);
  snprintf(x.s.p.item[1].name, sizeof name, "another.tensor");
  RT_FAILS(read_at(&spec, 6), RT_ERR_DATA, "another.tensor");
  memcpy(x.s.p.item[1].name, name, sizeof name);
  x.s.p.item[1].rows++;
  RT_FAILS(read_at(&spec, 6), RT_ERR_DATA, name);
  x.s.p.item[1].rows--;
  RT_OKAY(read_at(&spec, 6));
  run_finish(&x);
  scratch_remove(folder);
}

RT_TEST_MAIN("state", {"any layout to any other", test_layouts},
             {"weights alone", test_weights_alone},
             {"written while updates go on", test_meanwhile},
             {"from bf16 to f32", test_other_type},
             {"what is not there", test_refused})
