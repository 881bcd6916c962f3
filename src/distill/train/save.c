/** \file save.c
 *  Writes a run's checkpoints, at once or while training goes on. */
#include "distill/train/save.h"

#include "base/clock.h"
#include "base/host_memory.h"
#include "base/log.h"
#include "distill/job/job.h"
#include "distill/train/run_folder.h"
#include "distill/train/state.h"

#include <stdlib.h>
#include <string.h>

struct rt_saver {
  rt_run_spec run;
  const rt_trainer *trainer; // borrowed
  char *copy;        // owned [bytes of the state]; NULL: never meanwhile
  rt_worker *worker; // owned; NULL without a copy
  rt_state_writing writing;
  int64_t step;      // being written; -1: none
  int64_t published; // last one; -1: none
  double work_s;     // of the worker, before the one being written
  double main_s;     // of the main thread, for the one being written
  double seconds;    // see rt_saver_seconds
  char folder[RT_PATH_MAX];
};

/** Memory of HDF5 and the seal: measured, 5.2 MiB on two ranks; tensors are
 *  written directly from their location. */
static const double writing_bytes = 0x1p20 * 6.0;
/** Per byte that a rank writes, to read it back: 40 bytes for each MiB, in an
 *  array that doubles.  Per byte of the file, for the seal: an index, a hash
 * and its text for each MiB. */
static const double written_share = 0x1p-20 * 80.0, file_share = 0x1p-20 * 33.0;

double rt_save_memory(const rt_arch *arch, rt_dtype master, int n_ranks,
                      const rt_dev *dev)
{
  const double states = 3.0 * (double)rt_arch_n_params(arch) / n_ranks *
                        (double)rt_dtype_size(master);
  return writing_bytes + states * (written_share + n_ranks * file_share) +
         (rt_dev_on_host(dev) ? 0.0 : states);
}

static rt_err fill_meta(const rt_run_spec *run, const rt_trainer *t,
                        int64_t step, rt_checkpoint_meta *meta)
{
  *meta = (rt_checkpoint_meta){.step = step,
                               .consumed = step * run->batch_rows,
                               .tokens = step * run->batch_rows * run->rows.seq,
                               .skipped = t->n_skipped,
                               .rows = run->n_rows,
                               .rows_xxh3 = t->id.rows_xxh3,
                               .norm_mean = t->norm_mean};
  memcpy(meta->origin, t->id.origin, sizeof meta->origin);
  memcpy(meta->teacher, t->id.teacher, sizeof meta->teacher);
  memcpy(meta->tokenizer, t->id.tokenizer, sizeof meta->tokenizer);
  meta->arch = strdup(run->config);
  const rt_err err = meta->arch != NULL
                         ? rt_deck_to_file_text(run->deck, &meta->deck)
                         : RT_FAIL(RT_ERR_MEM, "a config.json");
  return rt_agree(run->world, err);
}

/** Compare some rows of the corpus, different ones at each checkpoint, read by
 *  every rank, so that a copy with few differences is detected in time. */
static rt_err audit_rows(const rt_run_spec *run, int64_t step)
{
  enum { N_LOOKS = 64 };
  uint64_t hash = 0;
  if (run->rows.corpus == NULL || rt_comm_size(run->world) == 1)
    return RT_OK;
  const int64_t n_rows = rt_corpus_n_rows(run->rows.corpus, RT_TRAIN);
  uint32_t *const tok = calloc((size_t)run->rows.seq + 1, sizeof *tok);
  const rt_err err =
      rt_agree(run->world, tok != NULL ? RT_OK : RT_FAIL(RT_ERR_MEM, "a row"));
  for (int64_t i = 0; err == RT_OK && i < N_LOOKS && i < n_rows; i++) {
    const int64_t row = rt_corpus_order((uint64_t)step, n_rows, i);
    uint64_t part[] = {hash, 0};
    // a damaged row is reported by the step that uses it
    if (rt_corpus_row(run->rows.corpus, RT_TRAIN, row, tok, NULL, NULL) ==
        RT_OK)
      part[1] = rt_hash_xxh3(tok, ((size_t)run->rows.seq + 1) * sizeof *tok);
    hash = rt_hash_xxh3(part, sizeof part);
  }
  free(tok);
  RT_TRY(err);
  return rt_job_same(run->world, hash, "data.files");
}

static rt_state_spec state_of(const rt_saver *s)
{
  const rt_trainer *const t = s->trainer;
  return (rt_state_spec){.world = t->world,
                         .dev = t->spec.dev,
                         .params = rt_model_params(t->model),
                         .opt = t->opt,
                         .folder = s->folder};
}

size_t rt_saver_copy_bytes(const rt_trainer *t)
{
  return rt_pieces_written_bytes(rt_model_params(t->model), t->opt);
}

static void drop_copy(rt_saver *s)
{
  rt_worker_destroy(&s->worker);
  free(s->copy);
  s->copy = NULL;
}

static rt_err make_copy(rt_saver *s)
{
  const size_t bytes = rt_saver_copy_bytes(s->trainer);
  s->copy = rt_host_alloc(bytes + 1);
  RT_CHECK(s->copy != NULL, RT_ERR_MEM,
           "%.1f MiB for a copy of the state are not to be had",
           (double)bytes * 0x1p-20);
  return rt_worker_create(&s->worker);
}

/** Without a copy and a thread on every rank, training waits: that costs time,
 *  but not the run. */
static rt_err try_copy(rt_saver *s)
{
  const rt_err err = rt_agree(s->run.world, make_copy(s));
  if (err != RT_ERR_MEM || rt_agree_alone())
    return err;
  rt_warn("training waits while a checkpoint is written, as with "
          "checkpoint.async=false: %s",
          rt_err_text());
  rt_err_clear();
  drop_copy(s);
  return RT_OK;
}

rt_err rt_saver_create(const rt_run_spec *run, const rt_trainer *t,
                       rt_save_how how, rt_saver **out)
{
  const char *const folder = rt_deck_text(run->deck, RT_KEY_OUT_DIR);
  rt_saver *const s = calloc(1, sizeof *s);
  *out = s;
  // before a failure that the run survives: all ranks fail here, or none
  const rt_err err = rt_agree(
      run->world,
      s != NULL ? RT_OK : RT_FAIL(RT_ERR_MEM, "a writer of checkpoints"));
  if (err != RT_OK || s == NULL)
    return err;
  s->run = *run;
  s->trainer = t;
  s->step = s->published = -1;
  RT_TRY(rt_run_folder_checkpoints(s->folder, folder));
  return how == RT_SAVE_MEANWHILE ? try_copy(s) : RT_OK;
}

void rt_saver_destroy(rt_saver **out)
{
  rt_saver *const s = *out;
  *out = NULL;
  if (s == NULL)
    return;
  rt_state_writing_clear(&s->writing);
  drop_copy(s);
  free(s);
}

int64_t rt_saver_writes(const rt_saver *s)
{
  return s != NULL ? s->step : -1;
}

int64_t rt_saver_published(const rt_saver *s)
{
  return s != NULL ? s->published : -1;
}

double rt_saver_seconds(const rt_saver *s)
{
  return s != NULL ? s->seconds : 0.0;
}

double rt_saver_work_s(const rt_saver *s)
{
  return rt_saver_writes(s) >= 0 ? rt_worker_seconds(s->worker) - s->work_s
                                 : 0.0;
}

rt_checkpoint_state rt_saver_poll(const rt_saver *s)
{
  return rt_saver_writes(s) >= 0 ? rt_checkpoint_poll(s->writing.writer)
                                 : RT_CHECKPOINT_READY;
}

/** Remove checkpoints that the deck does not keep. */
static rt_err prune(const rt_saver *s)
{
  const rt_run_spec *const run = &s->run;
  const rt_deck *const deck = run->deck;
  rt_err err = RT_OK;
  if (rt_comm_rank(run->world) == 0)
    err = rt_checkpoint_prune(s->folder,
                              (int)rt_deck_int(deck, RT_KEY_CKPT_KEEP_LAST),
                              rt_deck_int(deck, RT_KEY_CKPT_KEEP_EVERY));
  return rt_agree(run->world, err);
}

/** A checkpoint is published, and took so long without the steps between. */
static void count(rt_saver *s, int64_t step, double seconds)
{
  s->published = step;
  if (seconds > s->seconds)
    s->seconds = seconds;
}

/** After a part of the writing, begun at \a since, with the result \a err. */
static rt_err go_on(rt_saver *s, double since, rt_err err, bool published)
{
  s->main_s += rt_now_s() - since;
  if (err == RT_OK && published)
    count(s, s->step, s->main_s + rt_worker_seconds(s->worker) - s->work_s);
  if (err != RT_OK || published) {
    rt_state_writing_clear(&s->writing);
    s->step = -1;
  }
  RT_TRY(err);
  return published ? prune(s) : RT_OK;
}

rt_err rt_saver_go_on(rt_saver *s)
{
  bool published;
  const double since = rt_now_s();
  const rt_err err = rt_checkpoint_go_on(&s->writing.writer, &published);
  return go_on(s, since, err, published);
}

rt_err rt_saver_finish(rt_saver *s)
{
  const double since = rt_now_s();
  return go_on(s, since, rt_checkpoint_finish(&s->writing.writer), true);
}

/** Write, with the rest of the metadata. */
static rt_err write(rt_saver *s, int64_t step, rt_save_how how)
{
  const rt_state_spec state = state_of(s);
  rt_checkpoint_meta meta = {0};
  RT_TRY(audit_rows(&s->run, step));
  rt_err err = fill_meta(&s->run, s->trainer, step, &meta);
  if (err == RT_OK && how == RT_SAVE_MEANWHILE)
    err = rt_state_begin(&state, &meta, s->copy, s->worker, &s->writing);
  else if (err == RT_OK)
    err = rt_state_write(&state, &meta);
  rt_checkpoint_meta_clear(&meta);
  return err;
}

rt_err rt_saver_save(rt_saver *s, int64_t step)
{
  RT_ASSERT(s->step < 0);
  const double since = rt_now_s();
  RT_TRY(write(s, step, RT_SAVE_WAITING));
  count(s, step, rt_now_s() - since);
  return prune(s);
}

rt_err rt_saver_begin(rt_saver *s, int64_t step)
{
  RT_ASSERT(s->step < 0 && s->copy != NULL);
  const double since = rt_now_s();
  s->work_s = rt_worker_seconds(s->worker);
  RT_TRY(write(s, step, RT_SAVE_MEANWHILE));
  s->main_s = rt_now_s() - since;
  s->step = step;
  return RT_OK;
}

bool rt_saver_can_begin(const rt_saver *s)
{
  return s->copy != NULL;
}
