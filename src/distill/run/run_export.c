/** \file run_export.c
 *  Writes a checkpoint as a Hugging Face folder.
 *
 *  Rank 0 does this tensor by tensor, so that the model need not fit into
 *  memory, and the folder gets its final name only when it is completely on
 *  disk. */
#include "base/log.h"
#include "base/draft.h"
#include "distill/run/run.h"
#include "distill/train/pieces.h"
#include "distill/train/run_folder.h"
#include "distill/train/saved.h"
#include "io/hf/hfconfig.h"
#include "io/hf/safetensors.h"
#include <stdlib.h>
#include <string.h>

/** The newest checkpoint. */
typedef struct rt_export {
  char checkpoints[RT_PATH_MAX]; // folder of the checkpoints
  int64_t step;
  rt_checkpoint_meta meta; // owned
  rt_saved saved;          // owned: its texts and tensors
} rt_export;

static void forget(rt_export *x)
{
  rt_saved_clear(&x->saved);
  rt_checkpoint_meta_clear(&x->meta);
}

/** The tensor \a i as it is in the checkpoint, without memory. */
static rt_slab slab_of(const rt_export *x, int i, char name[104])
{
  const rt_param *const p = &x->saved.params.item[i];
  snprintf(name, 104, "w/%s", p->name);
  return (rt_slab){.name = name,
                   .rows = p->rows,
                   .cols = p->cols,
                   .data = rt_view_of(NULL, x->saved.real, 0, p->cols)};
}

/** Load what is not a tensor, and check that the tensors are there. */
static rt_err load(void *context, int64_t step)
{
  rt_export *const x = context;
  char name[104];
  forget(x); // of a damaged checkpoint
  RT_TRY(
      rt_checkpoint_read_meta(MPI_COMM_SELF, x->checkpoints, step, &x->meta));
  RT_TRY(rt_saved_init(&x->saved, &x->meta));
  for (int i = 0; i < x->saved.params.n; i++) {
    rt_slab slab = slab_of(x, i, name);
    RT_TRY(rt_checkpoint_read(MPI_COMM_SELF, &x->meta, &slab, 1));
  }
  return RT_OK;
}

static rt_err find_checkpoint(rt_export *x, const char *run_folder)
{
  RT_TRY(rt_run_folder_checkpoints(x->checkpoints, run_folder));
  RT_CHECK(rt_folder_exists(x->checkpoints), RT_ERR_NOINPUT,
           "%s: no such folder; the first argument is the output.dir of a run "
           "that wrote a checkpoint",
           x->checkpoints);
  RT_TRY(
      rt_checkpoint_newest(MPI_COMM_SELF, x->checkpoints, load, x, &x->step));
  RT_CHECK(x->step >= 0, RT_ERR_NOINPUT, "%s: holds no checkpoint",
           x->checkpoints);
  return RT_OK;
}

/** Write config.json as stored in the checkpoint. */
static rt_err put_config(const rt_export *x, const char *to)
{
  char path[RT_PATH_MAX];
  RT_TRY(rt_path_join(path, to, "config.json"));
  return rt_file_put(path, x->meta.arch, strlen(x->meta.arch));
}

/** Copy a tensor from the checkpoint, where it has the run's type, to position
 *  \a i of the writer. */
static rt_err copy_tensor(const rt_export *x, rt_st_writer *writer, int i)
{
  char name[104];
  rt_slab slab = slab_of(x, i, name);
  slab.data.rows = slab.rows;
  slab.data.data = malloc(rt_view_bytes(&slab.data));
  RT_CHECK(slab.data.data != NULL, RT_ERR_MEM, "tensor %s", name);
  rt_err err = rt_checkpoint_read(MPI_COMM_SELF, &x->meta, &slab, 1);
  if (err == RT_OK)
    err = rt_pieces_check(&slab, 1);
  if (err == RT_OK)
    err = rt_st_writer_put(writer, i, 0, slab.data);
  free(slab.data.data);
  return err;
}

static rt_err put_weights(const rt_export *x, const char *to)
{
  char path[RT_PATH_MAX];
  rt_st_writer *writer = NULL;
  RT_TRY(rt_path_join(path, to, "model.safetensors"));
  rt_st_tensor *tensors = calloc((size_t)x->saved.params.n, sizeof *tensors);
  RT_CHECK(tensors != NULL, RT_ERR_MEM, "%d tensors", x->saved.params.n);
  for (int i = 0; i < x->saved.params.n; i++) {
    const rt_param *p = &x->saved.params.item[i];
    tensors[i] = (rt_st_tensor){
        .name = p->name,
        .dtype = RT_F32,
        .n_dims = p->vector ? 1 : 2,
        .shape = {p->vector ? p->cols : p->rows, p->vector ? 0 : p->cols}};
  }
  rt_err err = rt_st_writer_create(path, tensors, x->saved.params.n, &writer);
  for (int i = 0; err == RT_OK && i < x->saved.params.n; i++)
    err = copy_tensor(x, writer, i);
  if (err == RT_OK)
    err = rt_st_writer_publish(writer);
  rt_st_writer_destroy(&writer);
  free(tensors);
  return err;
}

/** Copy the tokenizer files from the first folder that the deck names. */
static rt_err put_tokenizer(const rt_export *x, const char *to)
{
  static const rt_key keys[] = {RT_KEY_DATA_TOKENIZER, RT_KEY_STU_WEIGHTS,
                                RT_KEY_TEA_WEIGHTS};
  const char *from = "";
  int n = 0;
  for (size_t i = 0; from[0] == '\0' && i < sizeof keys / sizeof keys[0]; i++)
    from = rt_deck_text(x->saved.deck, keys[i]);
  if (from[0] != '\0' && rt_folder_exists(from))
    RT_TRY(rt_tokenizer_copy(from, to, &n));
  if (n == 0)
    rt_warn("no tokenizer files copied: %s%s",
            from[0] != '\0' ? "none in " : "the run's deck names no folder",
            from);
  return RT_OK;
}

/** Compare the end-of-text ids: generation_config.json comes with the
 *  tokenizer, config.json from the run, and generation uses the former. */
static rt_err tell_ends(const rt_export *x, const char *to)
{
  int64_t eos = -1;
  RT_TRY(rt_generation_eos(to, x->saved.arch.eos_id, &eos));
  if (eos != x->saved.arch.eos_id)
    rt_warn("%s: eos_token_id is %lld in config.json (data.eot, or the "
            "student's) and %lld in the generation_config.json of its "
            "tokenizer: generation will stop at the latter",
            to, (long long)x->saved.arch.eos_id, (long long)eos);
  return RT_OK;
}

static rt_err write_folder(rt_export *x, const char *run_folder, const char *to)
{
  RT_TRY(put_config(x, to));
  RT_TRY(put_weights(x, to));
  RT_TRY(put_tokenizer(x, to));
  RT_TRY(tell_ends(x, to));
  return rt_run_card_copy(run_folder, to);
}

static rt_err export(rt_export *x, const char *run_folder, const char *out)
{
  rt_draft draft;
  RT_TRY(find_checkpoint(x, run_folder));
  RT_TRY(rt_draft_folder(out, &draft));
  RT_TRY(rt_draft_conclude(write_folder(x, run_folder, draft.tmp), &draft));
  rt_info("step %lld of %s as a Hugging Face folder: %s", (long long)x->step,
          run_folder, draft.path);
  return RT_OK;
}

rt_err rt_run_export(const rt_comm *world, const char *run_folder,
                     const char *out_folder)
{
  rt_err err = RT_OK;
  if (rt_comm_rank(world) == 0) {
    rt_export x = {.step = -1};
    err = export(&x, run_folder, out_folder);
    forget(&x);
  }
  return rt_agree(world, err);
}
