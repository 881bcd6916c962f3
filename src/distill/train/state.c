/** \file state.c
 *  The student's state to and from checkpoints.
 *
 *  A tensor NAME is three datasets of its whole true shape, "w/NAME", "m/NAME"
 *  and "v/NAME".  Each rank writes the rows of its optimizer shard, of the
 *  weights too: over dp they differ, so the load is spread and every row is
 *  written once; of tp replicas only the first writes.  Vocabulary padding is
 *  not stored.  A reader asks for the rows that its own layout gives it. */
#include "base/log.h"
#include "distill/train/state.h"
#include "distill/capture/window.h"
#include "io/hf/safetensors.h"
#include <stdlib.h>
#include <string.h>

/** One slab, and where its rows lie on the device. */
typedef struct rt_piece {
  char name[104];  // "w/" and an rt_param's name
  rt_view on_dev;  // borrowed, contiguous true rows
  rt_view padding; // borrowed, the rows after them, zeroed by a reader
} rt_piece;

typedef struct rt_pieces {
  rt_dev *dev; // borrowed
  int n;
  rt_piece *piece; // owned [n]
  rt_slab *slab;   // owned [n]
  char *host;      // owned, NULL: the device's own memory is used
} rt_pieces;

static rt_err pieces_init(rt_pieces *s, rt_dev *dev, int n_max)
{
  *s = (rt_pieces){.dev = dev};
  s->piece = calloc((size_t)n_max, sizeof *s->piece);
  s->slab = calloc((size_t)n_max, sizeof *s->slab);
  RT_CHECK(s->piece && s->slab, RT_ERR_MEM, "%d slabs", n_max);
  return RT_OK;
}

static void pieces_clear(rt_pieces *s)
{
  free(s->piece);
  free(s->slab);
  free(s->host);
  *s = (rt_pieces){0};
}

/** Rows [row0, row0 + rows.rows) of \a p's tile; those that are padding stay
 *  away from the file.  \a mine: no replica takes care of them. */
static void pieces_add(rt_pieces *s, char kind, const rt_param *p, int64_t row0,
                       rt_view rows, bool mine)
{
  rt_piece *piece = &s->piece[s->n];
  int64_t n = p->n_rows - row0;
  n = n < 0 ? 0 : n > rows.rows ? rows.rows : n;
  snprintf(piece->name, sizeof piece->name, "%c/%s", kind, p->name);
  piece->on_dev = rt_view_rows(rows, 0, mine ? n : 0);
  piece->padding = rt_view_rows(rows, n, rows.rows - n);
  s->slab[s->n] = (rt_slab){.name = piece->name,
                            .rows = p->rows,
                            .cols = p->cols,
                            .row0 = mine && n > 0 ? p->row0 + row0 : 0,
                            .col0 = mine && n > 0 ? p->col0 : 0,
                            .data = piece->on_dev};
  s->n++;
}

/** Where the file's side of each slab lies: on the device itself when the host
 *  can reach it, else in one block of host memory. */
static rt_err pieces_stage(rt_pieces *s)
{
  size_t bytes = 0, at = 0;
  if (rt_dev_on_host(s->dev))
    return rt_dev_sync(s->dev);
  for (int i = 0; i < s->n; i++)
    bytes += rt_view_bytes(&s->slab[i].data);
  s->host = malloc(bytes + 1);
  RT_CHECK(s->host != NULL, RT_ERR_MEM,
           "%zu bytes to pass a checkpoint through", bytes);
  for (int i = 0; i < s->n; i++) {
    const rt_view v = s->piece[i].on_dev;
    s->slab[i].data = rt_view_of(s->host + at, v.dtype, v.rows, v.cols);
    at += rt_view_bytes(&v);
  }
  return RT_OK;
}

/** HDF5, MPI-IO and the seal: measured, 5.2 MiB on two ranks; no more for
 *  larger tensors, which are written from where they lie. */
static const double writing_bytes = 0x1p20 * 6.0;

double rt_state_memory(const rt_job *job)
{
  const double states = 3.0 * (double)rt_arch_n_params(&job->arch_s) /
                        job->grid_s.n_ranks *
                        (double)rt_dtype_size(rt_dev_real(job->dev));
  return writing_bytes + (rt_dev_on_host(job->dev) ? 0.0 : states);
}

static rt_err pieces_from_device(rt_pieces *s)
{
  RT_TRY(pieces_stage(s));
  for (int i = 0; s->host != NULL && i < s->n; i++)
    if (s->piece[i].on_dev.rows > 0)
      RT_TRY(rt_dev_get(s->dev, s->slab[i].data.data, s->piece[i].on_dev));
  return RT_OK;
}

static rt_err pieces_to_device(rt_pieces *s)
{
  for (int i = 0; i < s->n; i++) {
    if (s->host != NULL && s->piece[i].on_dev.rows > 0)
      RT_TRY(rt_dev_put(s->dev, s->piece[i].on_dev, s->slab[i].data.data));
    if (s->piece[i].padding.rows > 0)
      RT_RUN(s->dev, fill, .y = s->piece[i].padding, .value = 0.0);
  }
  return rt_dev_sync(s->dev);
}

/** Moments of the shards, for writing and reading alike. */
static void add_moments(rt_pieces *s, rt_trainer *t, bool writes)
{
  const rt_params *params = rt_model_params(t->model);
  for (int i = 0; i < params->n; i++) {
    const rt_param *p = &params->item[i];
    const rt_adamw_shard *shard = rt_adamw_shard_of(t->opt, i);
    const bool mine = !writes || p->owner;
    pieces_add(s, 'm', p, shard->row0, shard->m, mine);
    pieces_add(s, 'v', p, shard->row0, shard->v, mine);
  }
}

rt_err rt_state_folder(char out[RT_PATH_MAX], const char *run_folder)
{
  return rt_path_join(out, run_folder, "checkpoints");
}

/** Tokens here and there in the training stream: other files under the same
 *  names have others. */
static rt_err hash_rows(const rt_job *job, uint64_t *hash)
{
  enum { N_LOOKS = 64 };
  rt_batch *b;
  rt_err err = rt_batch_create(job, 1, &b);
  const size_t n = (size_t)job->seq;
  int32_t *const tok = calloc(N_LOOKS * n, sizeof *tok);
  if (err == RT_OK && tok == NULL)
    err = RT_FAIL(RT_ERR_MEM, "%zu tokens to compare", N_LOOKS * n);
  for (int64_t i = 0; err == RT_OK && i < N_LOOKS; i++) {
    const int64_t row = i * job->n_rows / N_LOOKS;
    err = rt_batch_fill(b, job, RT_TRAIN, &row, 1, NULL);
    if (err == RT_OK)
      memcpy(tok + (size_t)i * n, b->tok, n * sizeof *tok);
    else if (err == RT_ERR_DATA) // the matter of the step that comes to it
      err = RT_OK;
  }
  if (err == RT_OK)
    *hash = rt_hash_xxh3(tok, N_LOOKS * n * sizeof *tok);
  free(tok);
  rt_batch_destroy(&b);
  return err;
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
                               .rows_xxh3 = t->rows_xxh3,
                               .norm_mean = t->norm_mean};
  memcpy(meta->origin, t->origin, sizeof meta->origin);
  memcpy(meta->teacher, t->teacher_id, sizeof meta->teacher);
  meta->arch = strdup(job->config);
  const rt_err err = meta->arch != NULL
                         ? rt_deck_to_text(job->deck, &meta->deck)
                         : RT_FAIL(RT_ERR_MEM, "a config.json");
  return rt_agree(job->world, err);
}

static rt_err write_pieces(rt_trainer *t, const char *folder,
                           const rt_checkpoint_meta *meta, rt_pieces *s)
{
  const rt_job *job = t->job;
  const rt_params *params = rt_model_params(t->model);
  rt_err err = pieces_init(s, job->dev, 3 * params->n);
  for (int i = 0; err == RT_OK && i < params->n; i++) {
    const rt_param *p = &params->item[i];
    const rt_adamw_shard *shard = rt_adamw_shard_of(t->opt, i);
    pieces_add(s, 'w', p, shard->row0,
               rt_view_rows(p->w, shard->row0, shard->n), p->owner);
  }
  if (err == RT_OK) {
    add_moments(s, t, true);
    err = pieces_from_device(s);
  }
  RT_TRY(rt_agree(job->world, err));
  return rt_checkpoint_write(rt_comm_mpi(job->world), folder, meta, s->slab,
                             s->n);
}

/** Some rows of the corpus, others at each checkpoint, read by every rank: a
 *  copy that differs only here and there comes to light in time. */
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
    // a damaged row is the matter of the step that comes to it
    if (rt_corpus_row(job->corpus, RT_TRAIN, row, tok, NULL, NULL) == RT_OK)
      part[1] = rt_hash_xxh3(tok, ((size_t)job->seq + 1) * sizeof *tok);
    hash = rt_hash_xxh3(part, sizeof part);
  }
  free(tok);
  RT_TRY(err);
  return rt_job_same(job->world, hash, "data.files");
}

rt_err rt_state_save(rt_trainer *t, int64_t step)
{
  const rt_job *job = t->job;
  const rt_deck *deck = job->deck;
  char folder[RT_PATH_MAX];
  rt_checkpoint_meta meta = {0};
  rt_pieces s = {0};
  RT_TRY(rt_state_folder(folder, rt_deck_text(deck, RT_KEY_OUT_DIR)));
  RT_TRY(audit_rows(job, step));
  rt_err err = fill_meta(t, step, &meta);
  if (err == RT_OK)
    err = write_pieces(t, folder, &meta, &s);
  pieces_clear(&s);
  rt_checkpoint_meta_clear(&meta);
  RT_TRY(err);
  if (rt_comm_rank(job->world) == 0)
    err = rt_checkpoint_prune(folder,
                              (int)rt_deck_int(deck, RT_KEY_CKPT_KEEP_LAST),
                              rt_deck_int(deck, RT_KEY_CKPT_KEEP_EVERY));
  return rt_agree(job->world, err);
}

/** Did the user name a key of \a section among those that may change? */
static bool allows(const rt_deck *deck, const char *section)
{
  for (int i = 0; i < rt_deck_n(deck, RT_KEY_CKPT_ALLOW); i++)
    if (strncmp(rt_deck_text_at(deck, RT_KEY_CKPT_ALLOW, i), section,
                strlen(section)) == 0)
      return true;
  return false;
}

/** The teacher may be another only by the user's word, as its name may. */
static rt_err compare_teachers(const rt_trainer *t,
                               const rt_checkpoint_meta *meta)
{
  const rt_deck *const deck = t->job->deck;
  const rt_key key =
      t->job->dataset != NULL ? RT_KEY_TEA_DATASET : RT_KEY_TEA_WEIGHTS;
  if (allows(deck, "teacher.") || meta->teacher[0] == '\0')
    return RT_OK; // of a version that did not know, or without one
  RT_CHECK(strcmp(meta->teacher, t->teacher_id) == 0, RT_ERR_CONFIG,
           "the teacher is not the checkpoint's (step %lld of %s): %s was "
           "replaced under its name, %s (it has %s, the checkpoint's had %s).  "
           "Bring it back, choose another output.dir, or name %s in "
           "checkpoint.allow_change",
           (long long)meta->step, rt_deck_text(deck, RT_KEY_OUT_DIR),
           rt_key_path(key), rt_deck_text(deck, key), t->teacher_id,
           meta->teacher, rt_key_path(key));
  return RT_OK;
}

static rt_err compare_rows(const rt_trainer *t, const rt_checkpoint_meta *meta)
{
  const rt_job *job = t->job;
  if (allows(job->deck, "data.") || allows(job->deck, "teacher."))
    return RT_OK;
  RT_CHECK(meta->rows == job->n_rows && meta->rows_xxh3 == t->rows_xxh3,
           RT_ERR_CONFIG,
           "the training stream is not the checkpoint's (step %lld of %s): "
           "%lld rows, now %lld%s; the files of the corpus, or the dataset, "
           "were changed under their names.  Bring them back, choose another "
           "output.dir, or name data.files in checkpoint.allow_change",
           (long long)meta->step, rt_deck_text(job->deck, RT_KEY_OUT_DIR),
           (long long)meta->rows, (long long)job->n_rows,
           meta->rows == job->n_rows ? " with other tokens" : "");
  return RT_OK;
}

static rt_err compare_decks(const rt_job *job, const rt_checkpoint_meta *meta)
{
  char of[RT_PATH_MAX + 64];
  snprintf(of, sizeof of, "the checkpoint's (step %lld of %s)",
           (long long)meta->step, rt_deck_text(job->deck, RT_KEY_OUT_DIR));
  RT_TRY(rt_deck_same_run(job->deck, meta->deck, of, RT_KEY_OUT_DIR));
  RT_CHECK(meta->consumed == meta->step * job->batch_rows, RT_ERR_CONFIG,
           "the checkpoint consumed %lld rows in %lld steps; with "
           "train.batch_rows %lld the next rows would not follow: set it back",
           (long long)meta->consumed, (long long)meta->step,
           (long long)job->batch_rows);
  return RT_OK;
}

/** A window of logits that the run is in, or will come to, goes on: rows that
 *  pass unsaved cannot be had again. */
static rt_err compare_windows(const rt_job *job, const rt_deck *old_deck,
                              int64_t step)
{
  const int64_t tokens = job->batch_rows * job->seq;
  rt_window old, now;
  RT_TRY(rt_window_read(old_deck, tokens, &old));
  RT_TRY(rt_window_read(job->deck, tokens, &now));
  RT_CHECK(step >= old.first + old.n_steps ||
               (now.first == old.first && now.n_steps == old.n_steps) ||
               rt_deck_may_change(job->deck, RT_KEY_CAP_WINDOW_LENGTH),
           RT_ERR_CONFIG,
           "by its checkpoint of step %lld the run saves the logits of steps "
           "%lld to %lld (not in it) into %s; now capture.window_start and "
           "capture.window_length %s %lld steps from %lld on, and steps that "
           "pass unsaved are lost.  Set them back, or name "
           "capture.window_length in checkpoint.allow_change",
           (long long)step, (long long)old.first,
           (long long)(old.first + old.n_steps),
           rt_deck_text(old_deck, RT_KEY_CAP_DIR),
           now.n_steps > 0 ? "say" : "are absent:", (long long)now.n_steps,
           (long long)now.first);
  return RT_OK;
}

static rt_err check_window(const rt_job *job, const rt_checkpoint_meta *meta)
{
  rt_deck *old = NULL;
  rt_err err =
      rt_deck_parse("the checkpoint's deck", meta->deck, 0, NULL, &old);
  if (err == RT_OK)
    err = compare_windows(job, old, meta->step);
  rt_deck_destroy(&old);
  return err;
}

static rt_err read_pieces(const rt_job *job, const char *folder, int64_t step,
                          rt_pieces *s)
{
  RT_TRY(rt_agree(job->world, pieces_stage(s)));
  RT_TRY(
      rt_checkpoint_read(rt_comm_mpi(job->world), folder, step, s->slab, s->n));
  return rt_agree(job->world, pieces_to_device(s));
}

/** Whole tiles: every replica reads what it needs. */
static void add_weights(rt_pieces *s, rt_model *model)
{
  const rt_params *params = rt_model_params(model);
  for (int i = 0; i < params->n; i++)
    pieces_add(s, 'w', &params->item[i], 0, params->item[i].w, true);
}

static rt_err resume_from(rt_trainer *t, const char *folder, int64_t step)
{
  rt_checkpoint_meta meta = {0};
  rt_pieces s = {0};
  rt_err err =
      rt_checkpoint_read_meta(rt_comm_mpi(t->job->world), folder, step, &meta);
  if (err == RT_OK)
    err = rt_agree(t->job->world, compare_decks(t->job, &meta));
  if (err == RT_OK)
    err = rt_agree(t->job->world, check_window(t->job, &meta));
  if (err == RT_OK)
    err = compare_teachers(t, &meta);
  if (err == RT_OK)
    err = compare_rows(t, &meta);
  if (err == RT_OK)
    err =
        rt_agree(t->job->world, pieces_init(&s, t->job->dev,
                                            3 * rt_model_params(t->model)->n));
  if (err == RT_OK) {
    add_weights(&s, t->model);
    add_moments(&s, t, false);
    err = read_pieces(t->job, folder, step, &s);
  }
  t->n_skipped = meta.skipped;
  t->n_updates = meta.step - meta.skipped;
  t->norm_mean = meta.norm_mean;
  memcpy(t->origin, meta.origin, sizeof t->origin);
  pieces_clear(&s);
  rt_checkpoint_meta_clear(&meta);
  return err;
}

/** Newest step and the folder of checkpoints; -1 when there is none. */
static rt_err newest(const rt_job *job, const char *run_folder,
                     char folder[RT_PATH_MAX], int64_t *step)
{
  RT_TRY(rt_state_folder(folder, run_folder));
  return rt_checkpoint_newest(rt_comm_mpi(job->world), folder, step);
}

/** The dataset's manifest, or the weights, by their hash.  Collective. */
static rt_err know_teacher(rt_trainer *t)
{
  const rt_job *const job = t->job;
  char proof[17];
  if (job->dataset != NULL) {
    rt_logits_proof(job->dataset, proof);
    snprintf(t->teacher_id, sizeof t->teacher_id, "%s", proof);
  } else if (t->teacher != NULL)
    return rt_safetensors_digest(rt_comm_mpi(job->world),
                                 rt_deck_text(job->deck, RT_KEY_TEA_WEIGHTS),
                                 t->teacher_id);
  return RT_OK;
}

rt_err rt_state_resume(rt_trainer *t, int64_t *step)
{
  const rt_job *job = t->job;
  const char *run_folder = rt_deck_text(job->deck, RT_KEY_OUT_DIR);
  char folder[RT_PATH_MAX];
  *step = -1;
  if (run_folder[0] == '\0')
    return RT_OK;
  const bool looks = rt_comm_rank(job->world) == 0;
  RT_TRY(rt_agree(job->world, looks ? hash_rows(job, &t->rows_xxh3) : RT_OK));
  RT_TRY(rt_comm_bcast(job->world, &t->rows_xxh3, sizeof t->rows_xxh3, 0));
  RT_TRY(know_teacher(t));
  RT_TRY(newest(job, run_folder, folder, step));
  if (*step < 0)
    return RT_OK;
  RT_CHECK(rt_deck_bool(job->deck, RT_KEY_CKPT_RESUME), RT_ERR_CONFIG,
           "%s holds a checkpoint of step %lld, but checkpoint.resume is "
           "false: choose another output.dir, remove the folder, or resume",
           folder, (long long)*step);
  RT_TRY(resume_from(t, folder, *step));
  return rt_agree(job->world,
                  looks ? rt_checkpoint_set_aside(folder, *step) : RT_OK);
}

/** Hashes of what a run begins with, into one. */
static rt_err hash_beginning(const rt_job *job, char hex[RT_SHA256_HEX])
{
  char student[RT_SHA256_HEX] = "", teacher[RT_SHA256_HEX] = "", proof[17] = "";
  const char *const weights = rt_deck_text(job->deck, RT_KEY_STU_WEIGHTS);
  if (weights[0] != '\0')
    RT_TRY(rt_safetensors_hash(weights, student));
  if ((job->needs & RT_NEED_TEACHER) != 0)
    RT_TRY(rt_safetensors_hash(rt_deck_text(job->deck, RT_KEY_TEA_WEIGHTS),
                               teacher));
  if (job->dataset != NULL)
    rt_logits_proof(job->dataset, proof);
  char line[256];
  const int n = snprintf(line, sizeof line, "student %s teacher %s dataset %s",
                         student, teacher, proof);
  return rt_hash_text(line, (size_t)n, hex);
}

static rt_err hash_checkpoint(const rt_job *job, int64_t step,
                              char hex[RT_SHA256_HEX])
{
  char folder[RT_PATH_MAX];
  uint64_t hash;
  RT_TRY(rt_state_folder(folder, rt_deck_text(job->deck, RT_KEY_OUT_DIR)));
  RT_TRY(rt_checkpoint_proof(folder, step, &hash));
  char line[64];
  const int n = snprintf(line, sizeof line, "checkpoint %016llx",
                         (unsigned long long)hash);
  return rt_hash_text(line, (size_t)n, hex);
}

rt_err rt_state_origin(rt_trainer *t, int64_t saved)
{
  const rt_job *job = t->job;
  rt_err err = RT_OK;
  if (t->origin[0] != '\0') // of the checkpoint, on every rank
    return RT_OK;
  if (rt_comm_rank(job->world) == 0)
    err = saved < 0 ? hash_beginning(job, t->origin)
                    : hash_checkpoint(job, saved, t->origin);
  RT_TRY(rt_agree(job->world, err));
  return rt_comm_bcast(job->world, t->origin, sizeof t->origin, 0);
}

rt_err rt_state_load_weights(const rt_job *job, rt_model *model,
                             const char *run_folder, int64_t *step)
{
  char folder[RT_PATH_MAX];
  rt_pieces s = {0};
  RT_TRY(newest(job, run_folder, folder, step));
  if (*step < 0)
    return RT_OK;
  rt_err err = rt_agree(job->world,
                        pieces_init(&s, job->dev, rt_model_params(model)->n));
  if (err == RT_OK) {
    add_weights(&s, model);
    err = read_pieces(job, folder, *step, &s);
  }
  pieces_clear(&s);
  return err;
}
