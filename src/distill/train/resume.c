/** \file resume.c
 *  Resumes a run from its checkpoints. */
#include "distill/train/resume.h"

#include "base/log.h"
#include "distill/train/run_folder.h"
#include "distill/train/saved.h"
#include "distill/train/state.h"

#include <stdlib.h>
#include <string.h>

static rt_state_spec state_of(const rt_trainer *t, const char *folder)
{
  return (rt_state_spec){.world = t->world,
                         .dev = t->spec.dev,
                         .params = rt_model_params(t->model),
                         .opt = t->opt,
                         .folder = folder};
}

/** What is loaded from a checkpoint, for rt_checkpoint_newest. */
typedef struct loading {
  const char *folder; // of the checkpoints
  // the whole state of a run
  const rt_run_spec *run;
  rt_trainer *t;
  // weights only
  const rt_comm *world;
  rt_dev *dev;
  rt_model *model;
} loading;

/** Take what the checkpoint says of the run, once its state is loaded. */
static void take_meta(rt_trainer *t, const rt_checkpoint_meta *meta)
{
  t->n_skipped = meta->skipped;
  t->n_updates = meta->step - meta->skipped;
  t->norm_mean = meta->norm_mean;
  memcpy(t->id.origin, meta->origin, sizeof t->id.origin);
}

/** Could its tensors be the model's?  No key allows others. */
static rt_err check_fit(const rt_comm *world, const rt_checkpoint_meta *meta,
                        rt_model *model)
{
  rt_saved saved;
  rt_err err = rt_saved_init(&saved, meta);
  if (err == RT_OK)
    err = rt_saved_fits(&saved, rt_model_params(model));
  rt_saved_clear(&saved);
  return rt_agree(world, err);
}

static rt_err load_run(void *context, int64_t step)
{
  const loading *const l = context;
  const rt_state_spec state = state_of(l->t, l->folder);
  rt_checkpoint_meta meta = {0};
  RT_CHECK(rt_deck_bool(l->run->deck, RT_KEY_CKPT_RESUME), RT_ERR_CONFIG,
           "%s holds a checkpoint of step %lld, but checkpoint.resume is "
           "false: choose another output.dir, remove the folder, or resume",
           l->folder, (long long)step);
  rt_err err = rt_checkpoint_read_meta(rt_comm_mpi(l->run->world), l->folder,
                                       step, &meta);
  if (err == RT_OK)
    err = rt_run_id_check(l->run, &l->t->id, &meta);
  if (err == RT_OK)
    err = check_fit(l->run->world, &meta, l->t->model);
  if (err == RT_OK)
    err = rt_state_read(&state, &meta);
  if (err == RT_OK)
    take_meta(l->t, &meta);
  rt_checkpoint_meta_clear(&meta);
  return err;
}

static rt_err load_weights(void *context, int64_t step)
{
  const loading *const l = context;
  const rt_state_spec state = {.world = l->world,
                               .dev = l->dev,
                               .params = rt_model_params(l->model),
                               .folder = l->folder};
  rt_checkpoint_meta meta;
  RT_TRY(
      rt_checkpoint_read_meta(rt_comm_mpi(l->world), l->folder, step, &meta));
  rt_err err = check_fit(l->world, &meta, l->model);
  if (err == RT_OK)
    err = rt_state_read(&state, &meta);
  rt_checkpoint_meta_clear(&meta);
  return err;
}

/** Set aside the checkpoints after \a step, which are damaged.  Rank 0. */
static rt_err fall_back(const char *run_folder, const char *folder,
                        int64_t step)
{
  int64_t n = 0;
  RT_TRY(rt_checkpoint_later(folder, step, &n));
  if (n > 0) // first, so that none is lost if this start is killed meanwhile
    RT_TRY(rt_run_folder_keep_metrics(run_folder));
  return rt_checkpoint_set_aside(folder, step);
}

/** Remove what killed runs left, as it may fill the disk that this run writes
 *  to.  Rank 0. */
static void sweep(const char *folder)
{
  if (rt_checkpoint_sweep(folder) == RT_OK)
    return;
  rt_warn("%s.  It is of no use, and removed once it can be", rt_err_text());
  rt_err_clear();
}

rt_err rt_resume_begin(const rt_run_spec *run, rt_trainer *t, int64_t *step)
{
  const char *const run_folder = rt_deck_text(run->deck, RT_KEY_OUT_DIR);
  const bool first = rt_comm_rank(run->world) == 0;
  char folder[RT_PATH_MAX];
  loading l = {.folder = folder, .run = run, .t = t};
  *step = -1;
  if (run_folder[0] == '\0')
    return RT_OK;
  RT_TRY(rt_run_id_read(run, &t->id));
  RT_TRY(rt_run_folder_checkpoints(folder, run_folder));
  RT_TRY(rt_agree(run->world, first ? rt_checkpoint_put_back(folder) : RT_OK));
  RT_TRY(rt_checkpoint_newest(rt_comm_mpi(run->world), folder, load_run, &l,
                              step));
  rt_err err = RT_OK;
  if (first && *step >= 0)
    err = fall_back(run_folder, folder, *step);
  err = rt_agree(run->world, err);
  if (first && err == RT_OK)
    sweep(folder);
  return err;
}

rt_err rt_resume_weights(const rt_comm *world, rt_dev *dev, rt_model *model,
                         const char *run_folder, int64_t *step)
{
  char folder[RT_PATH_MAX];
  loading l = {.folder = folder, .world = world, .dev = dev, .model = model};
  RT_TRY(rt_run_folder_checkpoints(folder, run_folder));
  // nothing is put back: the folder may be that of a run at work
  return rt_checkpoint_newest(rt_comm_mpi(world), folder, load_weights, &l,
                              step);
}
