/** \file same_run.c */
#include "distill/train/same_run.h"

#include "distill/capture/window.h"
#include "distill/data/batch.h"
#include "distill/train/run_folder.h"
#include "distill/train/saved.h"
#include "io/hf/hfconfig.h"
#include "io/hf/safetensors.h"

#include <stdlib.h>
#include <string.h>

/** Hash a sample of tokens of the training stream, to detect other files under
 *  the same names. */
static rt_err hash_rows(const rt_run_spec *run, uint64_t *hash)
{
  enum { N_LOOKS = 64 };
  rt_batch *b;
  rt_err err = rt_batch_create(&run->rows, 1, &b);
  const size_t n = (size_t)run->rows.seq;
  int32_t *const tok = calloc(N_LOOKS * n, sizeof *tok);
  if (err == RT_OK && tok == NULL)
    err = RT_FAIL(RT_ERR_MEM, "%zu tokens to compare", N_LOOKS * n);
  for (int64_t i = 0; err == RT_OK && i < N_LOOKS; i++) {
    const int64_t row = i * run->n_rows / N_LOOKS;
    err = rt_batch_fill(b, RT_TRAIN, &row, 1, NULL);
    if (err == RT_OK)
      memcpy(tok + (size_t)i * n, b->tok, n * sizeof *tok);
    else if (err == RT_ERR_DATA) // reported by the step that uses the row
      err = RT_OK;
  }
  if (err == RT_OK)
    *hash = rt_hash_xxh3(tok, N_LOOKS * n * sizeof *tok);
  free(tok);
  rt_batch_destroy(&b);
  return err;
}

/** Identify the teacher: the dataset's manifest, or the hash of its weights.
 *  Collective. */
static rt_err know_teacher(const rt_run_spec *run, rt_run_id *id)
{
  char proof[17];
  if (run->rows.dataset != NULL) {
    rt_logits_proof(run->rows.dataset, proof);
    snprintf(id->teacher, sizeof id->teacher, "%s", proof);
  } else if (rt_deck_is(run->deck, RT_KEY_TEA_SOURCE, "live"))
    return rt_safetensors_digest(rt_comm_mpi(run->world),
                                 rt_deck_text(run->deck, RT_KEY_TEA_WEIGHTS),
                                 id->teacher);
  return RT_OK;
}

rt_err rt_run_id_read(const rt_run_spec *run, rt_run_id *id)
{
  const bool looks = rt_comm_rank(run->world) == 0;
  RT_TRY(rt_agree(run->world, looks ? hash_rows(run, &id->rows_xxh3) : RT_OK));
  RT_TRY(rt_comm_bcast(run->world, &id->rows_xxh3, sizeof id->rows_xxh3, 0));
  snprintf(id->tokenizer, sizeof id->tokenizer, "%s",
           run->tokenizer[0] != '\0' ? run->tokenizer : "none");
  return know_teacher(run, id);
}

/** Has the user allowed a key of \a section to change? */
static bool allows(const rt_deck *deck, const char *section)
{
  for (int i = 0; i < rt_deck_n(deck, RT_KEY_CKPT_ALLOW); i++)
    if (strncmp(rt_deck_text_at(deck, RT_KEY_CKPT_ALLOW, i), section,
                strlen(section)) == 0)
      return true;
  return false;
}

/** The teacher may change only if the user allows it, like its name. */
static rt_err compare_teachers(const rt_run_spec *run, const rt_run_id *id,
                               const rt_checkpoint_meta *meta)
{
  const rt_deck *const deck = run->deck;
  const rt_key key =
      run->rows.dataset != NULL ? RT_KEY_TEA_DATASET : RT_KEY_TEA_WEIGHTS;
  if (allows(deck, "teacher.") || meta->teacher[0] == '\0' ||
      rt_deck_is(deck, RT_KEY_TEA_SOURCE, "none"))
    return RT_OK; // not recorded, or only used in evaluations
  RT_CHECK(strcmp(meta->teacher, id->teacher) == 0, RT_ERR_CONFIG,
           "the teacher differs from that of the checkpoint (step %lld of %s): "
           "the contents of %s=%s changed (hash %s, in the checkpoint %s). "
           "Restore it, choose another output.dir, or list %s in "
           "checkpoint.allow_change",
           (long long)meta->step, rt_deck_text(deck, RT_KEY_OUT_DIR),
           rt_key_path(key), rt_deck_text(deck, key), id->teacher,
           meta->teacher, rt_key_path(key));
  return RT_OK;
}

/** A checkpoint that does not record the tokenizer has its path.  \a old: the
 *  checkpoint's deck. */
static rt_err compare_tokenizers(const rt_run_spec *run, const rt_run_id *id,
                                 const rt_checkpoint_meta *meta,
                                 const rt_deck *old)
{
  const rt_key key = RT_KEY_DATA_TOKENIZER;
  const bool known = meta->tokenizer[0] != '\0';
  const bool same = known ? strcmp(meta->tokenizer, id->tokenizer) == 0
                          : rt_deck_same_value(old, run->deck, key);
  RT_CHECK(same || rt_deck_allows(run->deck, key), RT_ERR_CONFIG,
           "the tokenizer differs from that of the checkpoint (step %lld of "
           "%s): data.tokenizer was \"%s\" (hash %s), now \"%s\" (hash %s). "
           "Restore it, choose another output.dir, or list data.tokenizer in "
           "checkpoint.allow_change",
           (long long)meta->step, rt_deck_text(run->deck, RT_KEY_OUT_DIR),
           rt_deck_text(old, key), known ? meta->tokenizer : "not recorded",
           rt_deck_text(run->deck, key), id->tokenizer);
  return RT_OK;
}

static rt_err compare_rows(const rt_run_spec *run, const rt_run_id *id,
                           const rt_checkpoint_meta *meta)
{
  if (allows(run->deck, "data.") || allows(run->deck, "teacher."))
    return RT_OK;
  RT_CHECK(meta->rows == run->n_rows && meta->rows_xxh3 == id->rows_xxh3,
           RT_ERR_CONFIG,
           "the training stream differs from that of the checkpoint (step %lld "
           "of %s): %lld rows then, %lld now%s. The corpus files or the "
           "dataset have changed. Restore them, choose another output.dir, or "
           "list data.files in checkpoint.allow_change",
           (long long)meta->step, rt_deck_text(run->deck, RT_KEY_OUT_DIR),
           (long long)meta->rows, (long long)run->n_rows,
           meta->rows == run->n_rows ? ", with other tokens" : "");
  return RT_OK;
}

/** The lines of a config.json that shape the computation, without ids and
 *  rates that are only passed on to an export. */
static rt_err shape_text(rt_arch arch, char **text)
{
  arch.dropout = arch.attention_dropout = arch.init_std = 0.0;
  arch.bos_id = arch.eos_id = arch.pad_id = -1;
  arch.n_more_eos = 0;
  return rt_hfconfig_text(&arch, "the checkpoint", text);
}

/** The first line in which two texts differ, without its blanks and comma. */
static void find_difference(const char *a, const char *b, char line[2][128])
{
  size_t n_a, n_b;
  for (;;) {
    n_a = strcspn(a, "\n");
    n_b = strcspn(b, "\n");
    if (n_a != n_b || memcmp(a, b, n_a) != 0 || a[n_a] == '\0')
      break;
    a += n_a + 1;
    b += n_b + 1;
  }
  const size_t skip_a = strspn(a, " "), skip_b = strspn(b, " ");
  snprintf(line[0], 128, "%.*s", (int)(n_a - skip_a), a + skip_a);
  snprintf(line[1], 128, "%.*s", (int)(n_b - skip_b), b + skip_b);
}

/** Paths are compared by name, and a config.json of the same name may contain
 *  another model. */
static rt_err compare_shapes(const rt_run_spec *run, const rt_arch *arch,
                             int64_t step)
{
  char *old = NULL, *now = NULL, line[2][128];
  if (allows(run->deck, "student."))
    return RT_OK;
  rt_err err = shape_text(*arch, &old);
  if (err == RT_OK)
    err = shape_text(*run->arch, &now);
  if (err == RT_OK && strcmp(old, now) != 0) {
    find_difference(old, now, line);
    err = RT_FAIL(RT_ERR_CONFIG,
                  "the student differs from that of the checkpoint (step %lld "
                  "of %s): its config.json had %s, now it is %s.  Restore "
                  "student.config or student.weights, or choose another "
                  "output.dir",
                  (long long)step, rt_deck_text(run->deck, RT_KEY_OUT_DIR),
                  line[0], line[1]);
  }
  free(old);
  free(now);
  return err;
}

static rt_err compare_decks(const rt_run_spec *run,
                            const rt_checkpoint_meta *meta)
{
  char of[RT_PATH_MAX + 64];
  snprintf(of, sizeof of, "the checkpoint's (step %lld of %s)",
           (long long)meta->step, rt_deck_text(run->deck, RT_KEY_OUT_DIR));
  RT_TRY(rt_deck_same_run(run->deck, meta->deck, of, RT_KEY_OUT_DIR));
  const bool fits = meta->step == 0
                        ? meta->consumed == 0
                        : meta->consumed % meta->step == 0 &&
                              meta->consumed / meta->step == run->batch_rows;
  // the decks may differ in this key only if the user allows it
  const bool changed = rt_deck_allows(run->deck, RT_KEY_TRAIN_BATCH);
  RT_CHECK(fits, changed ? RT_ERR_CONFIG : RT_ERR_DATA,
           "the checkpoint has consumed %lld rows in %lld steps, which does "
           "not match train.batch_rows %lld%s",
           (long long)meta->consumed, (long long)meta->step,
           (long long)run->batch_rows,
           changed ? ": restore the earlier value" : "");
  return RT_OK;
}

/** A window of logits that has begun or lies ahead must continue: rows that
 *  pass without being saved cannot be recovered. */
static rt_err compare_windows(const rt_run_spec *run, const rt_deck *old_deck,
                              int64_t step)
{
  const int64_t tokens = run->batch_rows * run->rows.seq;
  char asked[64] = "no window";
  rt_window old, now;
  RT_TRY(rt_window_read(old_deck, tokens, &old));
  RT_TRY(rt_window_read(run->deck, tokens, &now));
  if (now.n_steps > 0)
    snprintf(asked, sizeof asked, "[%lld, %lld)", (long long)now.first,
             (long long)(now.first + now.n_steps));
  RT_CHECK(step >= old.first + old.n_steps ||
               (now.first == old.first && now.n_steps == old.n_steps) ||
               rt_deck_allows(run->deck, RT_KEY_CAP_WINDOW_LENGTH),
           RT_ERR_CONFIG,
           "the run of this checkpoint (step %lld) captures the logits of "
           "steps [%lld, %lld) to %s, but the deck now requests %s. Steps that "
           "pass uncaptured cannot be recovered: restore capture.window_start "
           "and capture.window_length, or list capture.window_length in "
           "checkpoint.allow_change",
           (long long)step, (long long)old.first,
           (long long)(old.first + old.n_steps),
           rt_deck_text(old_deck, RT_KEY_CAP_DIR), asked);
  return RT_OK;
}

/** Compare what the user may have changed since. */
static rt_err compare_settings(const rt_run_spec *run, const rt_run_id *id,
                               const rt_checkpoint_meta *meta)
{
  rt_saved old;
  rt_err err = rt_saved_init(&old, meta);
  if (err == RT_OK)
    err = compare_decks(run, meta);
  if (err == RT_OK)
    err = compare_tokenizers(run, id, meta, old.deck);
  if (err == RT_OK)
    err = compare_shapes(run, &old.arch, meta->step);
  if (err == RT_OK)
    err = compare_windows(run, old.deck, meta->step);
  rt_saved_clear(&old);
  return err;
}

rt_err rt_run_id_check(const rt_run_spec *run, const rt_run_id *id,
                       const rt_checkpoint_meta *meta)
{
  RT_TRY(rt_agree(run->world, compare_settings(run, id, meta)));
  RT_TRY(compare_teachers(run, id, meta));
  return compare_rows(run, id, meta);
}

/** Combine the hashes of what a run starts from.  \a head: tells the formats
 *  apart. */
static rt_err combine(const rt_run_spec *run, const char *head,
                      const char *student, const char *teacher,
                      char hex[RT_SHA256_HEX])
{
  char line[256], proof[17] = "";
  if (run->rows.dataset != NULL)
    rt_logits_proof(run->rows.dataset, proof);
  const int n =
      snprintf(line, sizeof line, "%sstudent %s teacher %s dataset %s", head,
               student, teacher, proof);
  return rt_hash_text(line, (size_t)n, hex);
}

/** The weights that a run starts from; "" for none. */
static void weights_of(const rt_run_spec *run, const char *paths[2])
{
  const bool live = run->loads_teacher;
  paths[0] = rt_deck_text(run->deck, RT_KEY_STU_WEIGHTS);
  paths[1] = live ? rt_deck_text(run->deck, RT_KEY_TEA_WEIGHTS) : "";
}

/** By digests, which are cached.  Collective. */
static rt_err digest_beginning(const rt_run_spec *run, char hex[RT_SHA256_HEX])
{
  char of[2][RT_SHA256_HEX] = {"", ""};
  const char *paths[2];
  weights_of(run, paths);
  for (int i = 0; i < 2; i++)
    if (paths[i][0] != '\0')
      RT_TRY(rt_safetensors_digest(rt_comm_mpi(run->world), paths[i], of[i]));
  return rt_agree(run->world, combine(run, "digests of ", of[0], of[1], hex));
}

/** The format before digests: whole files are hashed, by this rank alone. */
static rt_err hash_beginning(const rt_run_spec *run, char hex[RT_SHA256_HEX])
{
  char of[2][RT_SHA256_HEX] = {"", ""};
  const char *paths[2];
  weights_of(run, paths);
  for (int i = 0; i < 2; i++)
    if (paths[i][0] != '\0')
      RT_TRY(rt_safetensors_hash(paths[i], of[i]));
  return combine(run, "", of[0], of[1], hex);
}

static rt_err hash_checkpoint(const rt_run_spec *run, int64_t step,
                              char hex[RT_SHA256_HEX])
{
  char folder[RT_PATH_MAX];
  uint64_t hash;
  RT_TRY(rt_run_folder_checkpoints(folder,
                                   rt_deck_text(run->deck, RT_KEY_OUT_DIR)));
  RT_TRY(rt_checkpoint_proof(folder, step, &hash));
  char line[64];
  const int n = snprintf(line, sizeof line, "checkpoint %016llx",
                         (unsigned long long)hash);
  return rt_hash_text(line, (size_t)n, hex);
}

/** If \a known is not \a hex, it may be the same in the earlier format; then
 *  that one is kept. */
static rt_err keep_known(const rt_run_spec *run, const char *known,
                         char hex[RT_SHA256_HEX])
{
  char old[RT_SHA256_HEX] = "";
  rt_err err = RT_OK;
  if (known[0] == '\0' || strcmp(known, hex) == 0)
    return RT_OK;
  if (rt_comm_rank(run->world) == 0)
    err = hash_beginning(run, old);
  RT_TRY(rt_agree(run->world, err));
  RT_TRY(rt_comm_bcast(run->world, old, sizeof old, 0));
  if (strcmp(known, old) == 0)
    memcpy(hex, old, sizeof old);
  return RT_OK;
}

rt_err rt_run_id_origin(const rt_run_spec *run, int64_t saved,
                        const char *known, rt_run_id *id)
{
  rt_err err = RT_OK;
  if (id->origin[0] != '\0') // set from the checkpoint, on every rank
    return RT_OK;
  if (saved < 0) {
    RT_TRY(digest_beginning(run, id->origin));
    return keep_known(run, known, id->origin);
  }
  if (rt_comm_rank(run->world) == 0)
    err = hash_checkpoint(run, saved, id->origin);
  RT_TRY(rt_agree(run->world, err));
  return rt_comm_bcast(run->world, id->origin, sizeof id->origin, 0);
}
