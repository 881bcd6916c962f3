/** \file scene.c */
#include "support/scene.h"

#include "support/small_arch.h"

void scene_on_fatal(rt_err err)
{
  fprintf(stderr, "fatal %d: %s\n", (int)err, rt_err_text());
  MPI_Abort(MPI_COMM_WORLD, 1);
}

void scene_on_beat(int64_t step, const char *phase)
{
  (void)step;
  (void)phase;
}

void scene_on_wait(const char *phase)
{
  (void)phase;
}

bool scene_never(void)
{
  return false;
}

/** A model with random weights as a Hugging Face folder. */
static void scene_write_model(const rt_arch *arch, const char *folder,
                              uint64_t seed)
{
  rt_comm *self = NULL;
  rt_dev *dev = NULL;
  rt_model *m = NULL;
  rt_grid grid;
  RT_OKAY(rt_comm_create(MPI_COMM_SELF, &self));
  RT_OKAY(rt_grid_init(&grid, self, 1, "tp"));
  RT_OKAY(rt_dev_create("cpu", 1, &dev));
  const rt_model_spec spec = {.arch = arch,
                              .grid = &grid,
                              .dev = dev,
                              .types = rt_types_of(RT_F32),
                              .max_rows = 1,
                              .seq = SCENE_T};
  RT_OKAY(rt_model_create("written", &spec, &m));
  RT_OKAY(rt_model_commit(m));
  const rt_params *p = rt_model_params(m);
  RT_OKAY(rt_params_random(rt_model_params(m), dev, seed));
  RT_OKAY(rt_dev_sync(dev));
  rt_st_tensor tensors[64] = {0};
  for (int i = 0; i < p->n; i++) {
    const rt_param *t = &p->item[i];
    tensors[i].name = t->name;
    tensors[i].dtype = RT_F32;
    tensors[i].n_dims = t->vector ? 1 : 2;
    tensors[i].shape[0] = t->vector ? t->cols : t->rows;
    tensors[i].shape[1] = t->vector ? 0 : t->cols;
  }
  char path[RT_PATH_MAX], *text = NULL;
  rt_st_writer *w = NULL;
  RT_OKAY(rt_folder_create(folder));
  RT_OKAY(rt_hfconfig_text(arch, folder, &text));
  RT_OKAY(rt_path_join(path, folder, "config.json"));
  RT_OKAY(rt_file_put(path, text, strlen(text)));
  free(text);
  RT_OKAY(rt_path_join(path, folder, "model.safetensors"));
  RT_OKAY(rt_st_writer_create(path, tensors, p->n, &w));
  for (int i = 0; i < p->n; i++) // one rank has no padding: SCENE_V is V_pad
    RT_OKAY(rt_st_writer_put(w, i, 0, p->item[i].w));
  RT_OKAY(rt_st_writer_publish(w));
  rt_st_writer_destroy(&w);
  rt_model_destroy(&m);
  rt_dev_destroy(&dev);
  rt_grid_clear(&grid);
  rt_comm_destroy(&self);
}

static void scene_write_corpus(const char *path)
{
  uint16_t tok[SCENE_TOKENS]; // documents of 30 tokens, closed by id 0
  for (int i = 0; i < SCENE_TOKENS; i++) {
    const int id = i % 30 == 29 ? 0 : 1 + (i * i + 7 * i) % (SCENE_V - 1);
    tok[i] = (uint16_t)id;
  }
  RT_OKAY(rt_file_put(path, tok, sizeof tok));
}

void scene_create(scene *s)
{
  *s = (scene){.arch = small_arch(SCENE_V)};
  s->arch.eos_id = 0;
  s->arch.init_std = 0.7; // far from flat
  RT_OKAY(rt_comm_create(MPI_COMM_WORLD, &s->world));
  scratch_create(s->folder);
  RT_OKAY(rt_path_join(s->corpus, s->folder, "corpus.u16"));
  RT_OKAY(rt_path_join(s->teacher, s->folder, "teacher"));
  RT_OKAY(rt_path_join(s->student, s->folder, "student"));
  RT_OKAY(rt_path_join(s->logits, s->folder, "logits.f32"));
  if (rt_comm_rank(s->world) == 0) {
    scene_write_corpus(s->corpus);
    scene_write_model(&s->arch, s->teacher, 1);
    scene_write_model(&s->arch, s->student, 2);
  }
  RT_OKAY(rt_comm_barrier(s->world));
}

void scene_clear(scene *s)
{
  scratch_remove(s->folder);
  rt_comm_destroy(&s->world);
}

rt_corpus *scene_corpus(const scene *s, double valid_fraction)
{
  const char *files[] = {s->corpus};
  const rt_corpus_spec spec = {.n_files = 1,
                               .files = files,
                               .seq = SCENE_T,
                               .vocab = SCENE_V,
                               .eot = 0,
                               .valid_fraction = valid_fraction,
                               .split_seed = 1};
  rt_corpus *c = NULL;
  RT_OKAY(rt_corpus_open(&spec, &c));
  return c;
}
