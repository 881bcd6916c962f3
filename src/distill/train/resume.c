/** \file resume.c
 *  The metadata in a run's checkpoints, and resuming from them. */
#include "distill/train/resume.h"

#include "distill/train/run_folder.h"
#include "distill/train/state.h"

#include <stdlib.h>
#include <string.h>

/** Memory of HDF5 and the seal: measured, 5.2 MiB on two ranks; independent of
 *  the size of tensors, which are written directly from their location. */
static const double writing_bytes = 0x1p20 * 6.0;

double rt_resume_memory(const rt_job *job)
{
  const double states = 3.0 * (double)rt_arch_n_params(&job->arch_s) /
                        job->grid_s.n_ranks *
                        (double)rt_dtype_size(rt_dev_real(job->dev));
  return writing_bytes + (rt_dev_on_host(job->dev) ? 0.0 : states);
}

static rt_err fill_meta(const rt_trainer *t, int64_t step,
                        rt_checkpoint_meta *meta)
{
  const rt_job *job = t->job;
  *meta = (rt_checkpoint_meta){.step = step,
                               .consumed = step * job->batch_rows,
                               .tokens = step * job->batch_rows * job->seq,
                               .skipped = t->n_skipped,
                               .rows = job->n_rows,
                               .rows_xxh3 = t->id.rows_xxh3,
                               .norm_mean = t->norm_mean};
  memcpy(meta->origin, t->id.origin, sizeof meta->origin);
  memcpy(meta->teacher, t->id.teacher, sizeof meta->teacher);
  memcpy(meta->tokenizer, t->id.tokenizer, sizeof meta->tokenizer);
  meta->arch = strdup(job->config);
  const rt_err err = meta->arch != NULL
                         ? rt_deck_to_file_text(job->deck, &meta->deck)
                         : RT_FAIL(RT_ERR_MEM, "a config.json");
  return rt_agree(job->world, err);
}

/** Compare some rows of the corpus, different ones at each checkpoint, read by
 *  every rank, so that a copy with few differences is detected in time. */
static rt_err audit_rows(const rt_job *job, int64_t step)
{
  enum { N_LOOKS = 64 };
  uint64_t hash = 0;
  if (job->corpus == NULL || rt_comm_size(job->world) == 1)
    return RT_OK;
  const int64_t n_rows = rt_corpus_n_rows(job->corpus, RT_TRAIN);
  uint32_t *const tok = calloc((size_t)job->seq + 1, sizeof *tok);
  const rt_err err =
      rt_agree(job->world, tok != NULL ? RT_OK : RT_FAIL(RT_ERR_MEM, "a row"));
  for (int64_t i = 0; err == RT_OK && i < N_LOOKS && i < n_rows; i++) {
    const int64_t row = rt_corpus_order((uint64_t)step, n_rows, i);
    uint64_t part[] = {hash, 0};
    // a damaged row is reported by the step that uses it
    if (rt_corpus_row(job->corpus, RT_TRAIN, row, tok, NULL, NULL) == RT_OK)
      part[1] = rt_hash_xxh3(tok, ((size_t)job->seq + 1) * sizeof *tok);
    hash = rt_hash_xxh3(part, sizeof part);
  }
  free(tok);
  RT_TRY(err);
  return rt_job_same(job->world, hash, "data.files");
}

static rt_state_spec state_of(const rt_trainer *t, const char *folder)
{
  return (rt_state_spec){.world = t->job->world,
                         .dev = t->job->dev,
                         .params = rt_model_params(t->model),
                         .opt = t->opt,
                         .folder = folder};
}

rt_err rt_resume_save(rt_trainer *t, int64_t step)
{
  const rt_job *const job = t->job;
  const rt_deck *const deck = job->deck;
  char folder[RT_PATH_MAX];
  rt_checkpoint_meta meta = {0};
  RT_TRY(rt_run_folder_checkpoints(folder, rt_deck_text(deck, RT_KEY_OUT_DIR)));
  const rt_state_spec state = state_of(t, folder);
  RT_TRY(audit_rows(job, step));
  rt_err err = fill_meta(t, step, &meta);
  if (err == RT_OK)
    err = rt_state_write(&state, &meta);
  rt_checkpoint_meta_clear(&meta);
  RT_TRY(err);
  if (rt_comm_rank(job->world) == 0)
    err = rt_checkpoint_prune(folder,
                              (int)rt_deck_int(deck, RT_KEY_CKPT_KEEP_LAST),
                              rt_deck_int(deck, RT_KEY_CKPT_KEEP_EVERY));
  return rt_agree(job->world, err);
}

/** What is loaded from a checkpoint, for rt_checkpoint_newest. */
typedef struct loading {
  const rt_job *job;
  const char *folder; // of the checkpoints
  rt_trainer *t;      // NULL: weights only
  rt_model *model;    // of weights only
} loading;

/** Take what the checkpoint says of the run, once its state is loaded. */
static void take_meta(rt_trainer *t, const rt_checkpoint_meta *meta)
{
  t->n_skipped = meta->skipped;
  t->n_updates = meta->step - meta->skipped;
  t->norm_mean = meta->norm_mean;
  memcpy(t->id.origin, meta->origin, sizeof t->id.origin);
}

static rt_err load_run(void *context, int64_t step)
{
  const loading *const l = context;
  const rt_state_spec state = state_of(l->t, l->folder);
  rt_checkpoint_meta meta = {0};
  RT_CHECK(rt_deck_bool(l->job->deck, RT_KEY_CKPT_RESUME), RT_ERR_CONFIG,
           "%s holds a checkpoint of step %lld, but checkpoint.resume is "
           "false: choose another output.dir, remove the folder, or resume",
           l->folder, (long long)step);
  rt_err err = rt_checkpoint_read_meta(rt_comm_mpi(l->job->world), l->folder,
                                       step, &meta);
  if (err == RT_OK)
    err = rt_run_id_check(l->job, &l->t->id, &meta);
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
  const rt_state_spec state = {.world = l->job->world,
                               .dev = l->job->dev,
                               .params = rt_model_params(l->model),
                               .folder = l->folder};
  rt_checkpoint_meta meta;
  RT_TRY(rt_checkpoint_read_meta(rt_comm_mpi(l->job->world), l->folder, step,
                                 &meta));
  const rt_err err = rt_state_read(&state, &meta);
  rt_checkpoint_meta_clear(&meta);
  return err;
}

rt_err rt_resume_begin(rt_trainer *t, int64_t *step)
{
  const rt_job *const job = t->job;
  const char *const run_folder = rt_deck_text(job->deck, RT_KEY_OUT_DIR);
  const bool first = rt_comm_rank(job->world) == 0;
  char folder[RT_PATH_MAX];
  loading l = {.job = job, .folder = folder, .t = t};
  *step = -1;
  if (run_folder[0] == '\0')
    return RT_OK;
  RT_TRY(rt_run_id_read(job, &t->id));
  RT_TRY(rt_run_folder_checkpoints(folder, run_folder));
  RT_TRY(rt_checkpoint_newest(rt_comm_mpi(job->world), folder, load_run, &l,
                              step));
  return rt_agree(job->world, first && *step >= 0
                                  ? rt_checkpoint_set_aside(folder, *step)
                                  : RT_OK);
}

rt_err rt_resume_weights(const rt_job *job, rt_model *model,
                         const char *run_folder, int64_t *step)
{
  char folder[RT_PATH_MAX];
  loading l = {.job = job, .folder = folder, .model = model};
  RT_TRY(rt_run_folder_checkpoints(folder, run_folder));
  return rt_checkpoint_newest(rt_comm_mpi(job->world), folder, load_weights, &l,
                              step);
}
