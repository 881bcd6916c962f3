/** \file test_resume.c
 *  Checkpoints that pass their seal but whose contents no run has written: the
 *  one before is taken.  What the user has changed is refused instead.  Runs of
 *  earlier versions.
 *  ranks: 1 2 */
#include "base/log.h"
#include "distill/train/resume.h"
#include "io/logits/logits_manifest.h"
#include "support/scene.h"

#include <fcntl.h>
#include <math.h>
#include <sys/stat.h>
#include <time.h>

/** Run \a verb with a deck of \a n_steps in \a folder; \a more: further lines
 *  of it. */
static rt_err run(const scene *s, const char *folder, int n_steps,
                  const char *more, rt_err (*verb)(rt_job *job))
{
  char text[3 * RT_PATH_MAX];
  rt_deck *deck = NULL;
  rt_job job;
  snprintf(text, sizeof text,
           "run: {threads: 1, peak_gflops: 1}\n"
           "output: {dir: %s}\n"
           "checkpoint: {every: 1, keep_last: 9}\n"
           "data: {files: [%s], seq: %d, eot: 0}\n"
           "train.batch_rows: 4\ntrain.length: %d\neval.rows: 0\n%s",
           folder, s->corpus, SCENE_T, n_steps, more);
  RT_OKAY(rt_deck_parse("test", text, 0, NULL, &deck));
  rt_err err = rt_job_init(&job, deck, s->world, &scene_hooks,
                           RT_NEED_STUDENT | RT_NEED_CORPUS);
  if (err == RT_OK)
    err = verb(&job);
  rt_job_clear(&job);
  rt_deck_destroy(&deck);
  return err;
}

/** Train the student of the scene. */
static rt_err train(const scene *s, const char *folder, int n_steps,
                    const char *more)
{
  char text[2 * RT_PATH_MAX];
  snprintf(text, sizeof text, "student: {weights: %.3000s}\n%.3000s",
           s->student, more);
  return run(s, folder, n_steps, text, rt_run_train);
}

/** Is there FOLDER/checkpoints/step-..<step><after>? */
static bool exists(const char *folder, int64_t step, const char *after)
{
  char path[RT_PATH_MAX];
  snprintf(path, sizeof path, "%.3000s/checkpoints/step-%08lld%s", folder,
           (long long)step, after);
  return rt_folder_exists(path);
}

static bool has_file(const char *folder, const char *name)
{
  char path[RT_PATH_MAX];
  return rt_path_join(path, folder, name) == RT_OK && rt_file_exists(path);
}

enum { STEP = 2 }; // of the checkpoint that lies

/** What a checkpoint says that is not so. */
typedef void lie_fn(rt_checkpoint_meta *meta, rt_slab *slab);

static void lie_deck(rt_checkpoint_meta *meta, rt_slab *slab)
{
  (void)slab;
  memset(meta->deck, '{', strlen(meta->deck) / 2);
}

static void lie_arch(rt_checkpoint_meta *meta, rt_slab *slab)
{
  (void)slab;
  meta->arch[strlen(meta->arch) / 2] = '\0';
}

static void lie_consumed(rt_checkpoint_meta *meta, rt_slab *slab)
{
  (void)slab;
  meta->consumed++;
}

static void lie_skipped(rt_checkpoint_meta *meta, rt_slab *slab)
{
  (void)slab;
  meta->skipped = STEP + 1;
}

static void lie_norm(rt_checkpoint_meta *meta, rt_slab *slab)
{
  (void)slab;
  meta->norm_mean = NAN;
}

static void lie_name(rt_checkpoint_meta *meta, rt_slab *slab)
{
  (void)meta;
  slab->name = "w/another";
}

static void lie_shape(rt_checkpoint_meta *meta, rt_slab *slab)
{
  (void)meta;
  slab->rows--;
  slab->data.rows -= slab->data.rows > 0;
}

static void lie_value(rt_checkpoint_meta *meta, rt_slab *slab)
{
  (void)meta;
  if (slab->data.rows > 0)
    ((float *)slab->data.data)[0] = NAN;
}

/** All tensors of the checkpoint of \a step, each whole on rank 0 and absent
 *  elsewhere; memory is owned by the slabs. */
static int read_all(const rt_params *p, const rt_checkpoint_meta *meta,
                    rt_slab *slabs, char (*names)[112])
{
  int n = 0, rank;
  MPI_Comm_rank(MPI_COMM_WORLD, &rank);
  for (int i = 0; i < p->n; i++)
    for (int k = 0; k < 3; k++) {
      const rt_param *const t = &p->item[i];
      snprintf(names[n], sizeof names[n], "%c/%s", "wmv"[k], t -> name);
      slabs[n] = (rt_slab){.name = names[n],
                           .rows = t->rows,
                           .cols = t->cols,
                           .data = rt_view_of(NULL, RT_F32, 0, t->cols)};
      slabs[n].data.rows = rank == 0 ? t->rows : 0;
      slabs[n].data.data = calloc((size_t)(t->rows * t->cols), sizeof(float));
      n++;
    }
  RT_OKAY(rt_checkpoint_read(MPI_COMM_WORLD, meta, slabs, n));
  return n;
}

/** Write the checkpoint of STEP once more, with a lie in \a slabs[0] or in the
 *  metadata; the seal is right. */
static void rewrite(const char *folder, const rt_params *p, lie_fn *lie)
{
  enum { MOST = 128 };
  char checkpoints[RT_PATH_MAX], names[MOST][112];
  rt_slab slabs[MOST];
  rt_checkpoint_meta meta;
  RT_OKAY(rt_path_join(checkpoints, folder, "checkpoints"));
  RT_OKAY(rt_checkpoint_read_meta(MPI_COMM_WORLD, checkpoints, STEP, &meta));
  const int n = read_all(p, &meta, slabs, names);
  lie(&meta, &slabs[0]);
  RT_OKAY(rt_checkpoint_write(MPI_COMM_WORLD, checkpoints, &meta, slabs, n));
  for (int i = 0; i < n; i++)
    free(slabs[i].data.data);
  rt_checkpoint_meta_clear(&meta);
}

/** The tensors of the student, as one rank has them. */
typedef struct tensors {
  rt_comm *self;
  rt_grid grid;
  rt_arena *arena;
  rt_params p;
} tensors;

static void tensors_start(tensors *t, const rt_arch *arch)
{
  RT_OKAY(rt_comm_create(MPI_COMM_SELF, &t->self));
  RT_OKAY(rt_grid_init(&t->grid, t->self, 1, "tp"));
  RT_OKAY(rt_arena_create("test", &t->arena));
  RT_OKAY(rt_params_init(&t->p, arch, &t->grid, t->arena, rt_types_of(RT_F32),
                         RT_PARAMS_FIXED));
}

static void tensors_finish(tensors *t)
{
  rt_params_clear(&t->p);
  rt_arena_destroy(&t->arena);
  rt_grid_clear(&t->grid);
  rt_comm_destroy(&t->self);
}

static void test_lies(void)
{
  static lie_fn *const lies[] = {lie_value, lie_deck,     lie_shape,
                                 lie_arch,  lie_consumed, lie_skipped,
                                 lie_norm,  lie_name};
  scene s;
  tensors t;
  char folder[RT_PATH_MAX];
  scene_create(&s);
  tensors_start(&t, &s.arch);
  // ranks agree on what one of them reads, whatever it is
  const size_t n =
      rt_comm_size(s.world) == 1 ? sizeof lies / sizeof lies[0] : 2;
  for (size_t i = 0; i < n; i++) {
    char name[16];
    snprintf(name, sizeof name, "run%zu", i);
    RT_OKAY(rt_path_join(folder, s.folder, name));
    RT_OKAY(train(&s, folder, STEP, ""));
    rewrite(folder, &t.p, lies[i]);
    RT_OKAY(train(&s, folder, STEP, ""));
    CU_ASSERT_TRUE(exists(folder, STEP - 1, ""));
    CU_ASSERT_TRUE(exists(folder, STEP, "")); // made again
    CU_ASSERT_TRUE(exists(folder, STEP, ".damaged"));
    CU_ASSERT_TRUE(has_file(folder, "metrics.jsonl.damaged"));
  }
  tensors_finish(&t);
  scene_clear(&s);
}

/** Keep only the checkpoint of STEP. */
static void keep_newest(const char *folder)
{
  char path[RT_PATH_MAX];
  int rank;
  MPI_Comm_rank(MPI_COMM_WORLD, &rank);
  for (int step = 1; rank == 0 && step < STEP; step++) {
    snprintf(path, sizeof path, "%.3000s/checkpoints/step-%08d", folder, step);
    RT_OKAY(rt_path_remove(path));
  }
  MPI_Barrier(MPI_COMM_WORLD);
}

static void test_all_lie(void)
{
  scene s;
  tensors t;
  char folder[RT_PATH_MAX];
  scene_create(&s);
  tensors_start(&t, &s.arch);
  RT_OKAY(rt_path_join(folder, s.folder, "run"));
  RT_OKAY(train(&s, folder, STEP, ""));
  rewrite(folder, &t.p, lie_value);
  keep_newest(folder);
  RT_FAILS(train(&s, folder, STEP, ""), RT_ERR_DATA,
           "none of the 1 checkpoints");
  CU_ASSERT_PTR_NOT_NULL(strstr(rt_err_text(), "steps 2; the newest: "));
  CU_ASSERT_TRUE(exists(folder, STEP, "")); // it is left as it is
  tensors_finish(&t);
  scene_clear(&s);
}

/** What the user changed is no damage: nothing is skipped or renamed. */
static void test_changed(void)
{
  static const char *const changes[][2] = {
      {"train.lr: 0.5\n", "train.lr"},
      {"data.mask_documents: true\n", "data.mask_documents"},
      {"checkpoint.resume: false\n", "checkpoint.resume"}};
  scene s;
  char folder[RT_PATH_MAX];
  scene_create(&s);
  RT_OKAY(rt_path_join(folder, s.folder, "run"));
  RT_OKAY(train(&s, folder, STEP, ""));
  for (size_t i = 0; i < sizeof changes / sizeof changes[0]; i++) {
    RT_FAILS(train(&s, folder, STEP, changes[i][0]), RT_ERR_CONFIG,
             changes[i][1]);
    CU_ASSERT_FALSE(exists(folder, STEP, ".damaged"));
  }
  scene_clear(&s);
}

static void future_key(rt_checkpoint_meta *meta, rt_slab *slab)
{
  static const char more[] = "\ntrain.of_the_future: 1\n";
  const size_t n = strlen(meta->deck);
  char *const text = realloc(meta->deck, n + sizeof more);
  (void)slab;
  CU_ASSERT_PTR_NOT_NULL_FATAL(text);
  memcpy(text + n, more, sizeof more);
  meta->deck = text;
}

static void future_model(rt_checkpoint_meta *meta, rt_slab *slab)
{
  char *const type = strstr(meta->arch, "\"llama\"");
  (void)slab;
  CU_ASSERT_PTR_NOT_NULL_FATAL(type);
  memcpy(type, "\"alpac\"", 7);
}

/** A checkpoint with settings that this version does not know ends the run. */
static void test_future(void)
{
  static lie_fn *const futures[] = {future_key, future_model};
  static const char *const says[] = {"train.of_the_future", "alpac"};
  scene s;
  tensors t;
  char folder[RT_PATH_MAX], name[16];
  scene_create(&s);
  tensors_start(&t, &s.arch);
  for (int i = 0; i < 2; i++) {
    snprintf(name, sizeof name, "run%d", i);
    RT_OKAY(rt_path_join(folder, s.folder, name));
    RT_OKAY(train(&s, folder, STEP, ""));
    rewrite(folder, &t.p, futures[i]);
    RT_FAILS(train(&s, folder, STEP, ""), RT_ERR_CONFIG, "a newer retort");
    CU_ASSERT_PTR_NOT_NULL(strstr(rt_err_text(), says[i]));
    CU_ASSERT_TRUE(exists(folder, STEP, ""));
    CU_ASSERT_FALSE(exists(folder, STEP, ".damaged"));
  }
  tensors_finish(&t);
  scene_clear(&s);
}

/** Another student than the checkpoints' is refused, by eval, and by train even
 *  if the deck allows other keys of it. */
static void test_other_student(void)
{
  static const char first[] = "student: {width: 32, blocks: 1, heads: 2, "
                              "vocab: 301}\nrun.real: f32\n";
  static const char *const others[][3] = {
      {"student: {width: 32, blocks: 1, heads: 2, vocab: 301}\n"
       "run.real: f64\n",
       "checkpoint.allow_change: [run.real]\n", "run.dtype is fp64"},
      {"student: {width: 64, blocks: 1, heads: 2, vocab: 301}\n",
       "checkpoint.allow_change: [student.width]\n", " x 32 there, "},
      {"student: {width: 32, blocks: 2, heads: 2, vocab: 301}\n",
       "checkpoint.allow_change: [student.blocks]\n", "is absent there"}};
  char folder[RT_PATH_MAX], more[400];
  scene s;
  scene_create(&s);
  RT_OKAY(rt_path_join(folder, s.folder, "run"));
  RT_OKAY(run(&s, folder, STEP, first, rt_run_train));
  for (size_t i = 0; i < sizeof others / sizeof others[0]; i++)
    for (int k = 0; k < 2; k++) {
      snprintf(more, sizeof more, "%s%s", others[i][0],
               k == 0 ? "" : others[i][1]);
      RT_FAILS(run(&s, folder, STEP, more, k == 0 ? rt_run_eval : rt_run_train),
               RT_ERR_CONFIG, others[i][2]);
      CU_ASSERT_PTR_NULL(strstr(rt_err_text(), "emove"));
      CU_ASSERT_TRUE(exists(folder, STEP, ""));
      CU_ASSERT_FALSE(exists(folder, STEP, ".damaged"));
    }
  scene_clear(&s);
}

/** Write FOLDER/NAME, two days old. */
static void put_old(const char *folder, const char *name)
{
  char path[RT_PATH_MAX];
  int rank;
  MPI_Comm_rank(MPI_COMM_WORLD, &rank);
  if (rank == 0) {
    const time_t then = time(NULL) - 200000;
    const struct timespec both[2] = {{then, 0}, {then, 0}};
    RT_OKAY(rt_folder_create(folder));
    RT_OKAY(rt_path_join(path, folder, name));
    RT_OKAY(rt_file_put(path, "x", 1));
    CU_ASSERT_EQUAL(utimensat(AT_FDCWD, path, both, 0), 0);
  }
  MPI_Barrier(MPI_COMM_WORLD);
}

/** A start removes drafts of earlier starts, and no file of the user's: neither
 *  in a folder that a typing error has made a run's, nor later. */
static void test_users_files(void)
{
  static const char users[] = "results.tmp.csv", draft[] = "last_run.tmp.h.12";
  scene s;
  char folder[RT_PATH_MAX];
  scene_create(&s);
  RT_OKAY(rt_path_join(folder, s.folder, "mine"));
  put_old(folder, users);
  put_old(folder, draft);
  RT_OKAY(train(&s, folder, STEP, ""));
  CU_ASSERT_TRUE(has_file(folder, users));
  CU_ASSERT_TRUE(has_file(folder, draft)); // it was not Retort's folder
  MPI_Barrier(MPI_COMM_WORLD);
  RT_OKAY(train(&s, folder, STEP, ""));
  CU_ASSERT_TRUE(has_file(folder, users));
  CU_ASSERT_FALSE(has_file(folder, draft));
  scene_clear(&s);
}

/** What a run of an earlier version has written into the dataset of its window:
 *  hashes of whole files. */
static void origin_of_old(const scene *s, char hex[RT_SHA256_HEX])
{
  char student[RT_SHA256_HEX], line[256];
  RT_OKAY(rt_safetensors_hash(s->student, student));
  const int n =
      snprintf(line, sizeof line, "student %s teacher  dataset ", student);
  RT_OKAY(rt_hash_text(line, (size_t)n, hex));
}

/** The dataset says that it is of a run that began from \a hex. */
static void set_origin(const char *logits, const char hex[RT_SHA256_HEX])
{
  rt_logits_manifest m;
  int rank;
  MPI_Comm_rank(MPI_COMM_WORLD, &rank);
  MPI_Barrier(MPI_COMM_WORLD);
  if (rank == 0) {
    RT_OKAY(rt_logits_manifest_read(logits, &m));
    memcpy(m.info.teacher_hash, hex, RT_SHA256_HEX);
    RT_OKAY(rt_logits_manifest_write(logits, &m));
    rt_logits_manifest_clear(&m);
  }
  MPI_Barrier(MPI_COMM_WORLD);
}

/** A run that an earlier version began, and that was killed before its first
 *  checkpoint, still is that of its dataset; another one is not. */
static void test_old_origin(void)
{
  scene s;
  char logits[RT_PATH_MAX], folder[RT_PATH_MAX], more[2 * RT_PATH_MAX],
      old[RT_SHA256_HEX];
  scene_create(&s);
  RT_OKAY(rt_path_join(logits, s.folder, "logits"));
  snprintf(more, sizeof more,
           "capture: {dir: %s, window_length: 2, shard_rows: 4, top_k: 5}\n",
           logits);
  RT_OKAY(rt_path_join(folder, s.folder, "run"));
  RT_OKAY(train(&s, folder, STEP, more));
  origin_of_old(&s, old);
  set_origin(logits, old);
  RT_OKAY(rt_path_join(folder, s.folder, "again"));
  RT_OKAY(train(&s, folder, STEP, more));
  old[0] = old[0] == 'a' ? 'b' : 'a';
  set_origin(logits, old);
  RT_OKAY(rt_path_join(folder, s.folder, "other"));
  RT_FAILS(train(&s, folder, STEP, more), RT_ERR_LOCKED,
           "holds logits of another run");
  scene_clear(&s);
}

RT_TEST_MAIN("resume", {"contents that no run writes", test_lies},
             {"all checkpoints lie", test_all_lie},
             {"what the user changed", test_changed},
             {"of a later version", test_future},
             {"of another student", test_other_student},
             {"files of the user's", test_users_files},
             {"the origin of an old run", test_old_origin})
