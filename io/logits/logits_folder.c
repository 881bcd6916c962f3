/** \file logits_folder.c
 *  The life cycle of the folder of a logit dataset. */
#include "io/logits/logits_place.h"

#include "base/draft.h"
#include "base/log.h"
#include "io/common/lock.h"
#include "io/common/seal.h"
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

// copy of the manifest's deck, for people
static const char deck_name[] = "deck.yaml", card_name[] = "README.md";

/** Visit the files in \a folder that \a match: copy the first name to \a name
 *  ("" if none), or remove all. */
static rt_err each_file(const char *folder, bool (*match)(const char *name),
                        bool remove, char name[256])
{
  DIR *const dir = opendir(folder);
  RT_CHECK(dir != NULL, RT_ERR_LOCKED, "cannot list %s: %s", folder,
           strerror(errno));
  name[0] = '\0';
  rt_err err = RT_OK;
  for (struct dirent *e; err == RT_OK && (e = readdir(dir)) != NULL;) {
    char path[RT_PATH_MAX];
    if (!match(e->d_name))
      continue;
    if (name[0] == '\0')
      snprintf(name, 256, "%s", e->d_name);
    err = remove ? rt_path_join(path, folder, e->d_name) : RT_OK;
    if (err == RT_OK && remove)
      err = rt_path_remove(path);
  }
  closedir(dir);
  return err;
}

static bool is_shard(const char *name)
{
  return strncmp(name, "shard-", 6) == 0;
}

/** Is it a file that a dataset would overwrite? */
static bool is_written(const char *name)
{
  return is_shard(name) || strcmp(name, card_name) == 0 ||
         strcmp(name, deck_name) == 0;
}

/** Is it a file of a model's folder? */
static bool is_model(const char *name)
{
  const size_t n = strlen(name);
  return strcmp(name, "config.json") == 0 ||
         (n > 12 && strcmp(name + n - 12, ".safetensors") == 0);
}

/** Is \a name, of \a n bytes, "shard-000123.h5"? */
static bool is_shard_name(const char *name, size_t n)
{
  char expected[32];
  if (n < 7 || !is_shard(name))
    return false;
  rt_logits_shard_name(expected, strtoll(name + 6, NULL, 10));
  return n == strlen(expected) && strncmp(name, expected, n) == 0;
}

/** Is it the draft of a shard, of its seal, or of the manifest?  A seal is
 *  written beside the draft of its shard, as shard-000123.h5.tmp.HOST.PID.seal,
 *  which has a draft itself. */
static bool is_temporary(const char *name)
{
  const size_t n_seal = strlen(".seal");
  size_t n = strlen(name);
  bool draft = false;
  for (int i = 0; i < 2; i++) {
    const size_t base = rt_draft_base(name, n);
    draft = draft || base > 0;
    n = base > 0 ? base : n;
    if (n > n_seal && strncmp(name + n - n_seal, ".seal", n_seal) == 0)
      n -= n_seal;
  }
  return draft &&
         (is_shard_name(name, n) || (n == strlen("manifest.json") &&
                                     strncmp(name, "manifest.json", n) == 0));
}

/** Read the manifest in \a folder, which must be of a capture like \a info: an
 *  unfinished one, or any. */
static rt_err read_same(const char *folder, const rt_logits_info *info,
                        bool any, rt_logits_manifest *m)
{
  RT_TRY(rt_logits_manifest_read(folder, m));
  char diff[1024];
  rt_logits_info_diff(&m->info, info, diff, sizeof diff);
  const bool complete = m->complete, same = diff[0] == '\0';
  if (same && (any || !complete))
    return RT_OK;
  rt_logits_manifest_clear(m);
  return RT_FAIL(RT_ERR_LOCKED,
                 "%s holds %s capture%s%s; choose another folder, or remove "
                 "this one",
                 folder, complete ? "a finished" : "an unfinished",
                 same ? "" : " of something else: ", diff);
}

rt_err rt_logits_look(const char *folder, const rt_logits_info *info,
                      bool *done, bool *finished)
{
  char path[RT_PATH_MAX];
  *finished = false;
  for (int64_t i = 0; i < rt_logits_n_shards(info); i++)
    done[i] = false;
  RT_TRY(rt_logits_manifest_path(path, folder));
  if (!rt_file_exists(path))
    return RT_OK;
  rt_logits_manifest m;
  RT_TRY(read_same(folder, info, true, &m));
  *finished = m.complete;
  rt_logits_manifest_clear(&m);
  for (int64_t i = 0; i < rt_logits_n_shards(info); i++) {
    RT_TRY(rt_logits_shard_path(path, folder, i));
    done[i] = rt_file_exists(path);
    *finished = *finished && done[i];
  }
  return RT_OK;
}

rt_err rt_logits_peek(const char *folder, rt_logits_info *info, char **deck)
{
  char path[RT_PATH_MAX];
  rt_logits_manifest m;
  *deck = NULL;
  RT_TRY(rt_logits_manifest_path(path, folder));
  if (!rt_file_exists(path))
    return RT_OK;
  RT_TRY(rt_logits_manifest_read(folder, &m));
  *info = m.info;
  *deck = m.deck;
  m.deck = NULL;
  rt_logits_manifest_clear(&m);
  return RT_OK;
}

/** Mark a finished capture that has lost shards as unfinished, with \a info. */
static rt_err reopen(const char *folder, const rt_logits_info *info)
{
  rt_logits_manifest m;
  RT_TRY(read_same(folder, info, true, &m));
  int64_t n_lost = 0;
  rt_err err = RT_OK;
  for (int64_t i = 0; err == RT_OK && m.complete && i < m.n_shards; i++) {
    char path[RT_PATH_MAX];
    err = rt_logits_shard_path(path, folder, i);
    if (err == RT_OK && !rt_file_exists(path)) {
      m.shards[i] = (rt_logits_shard){0};
      n_lost++;
    }
  }
  if (err == RT_OK && n_lost > 0) {
    rt_warn("%s was finished, but %lld of its %lld shards are missing and will "
            "be written again",
            folder, (long long)n_lost, (long long)m.n_shards);
    m.complete = false;
    m.readme_sha256[0] = '\0';
    err = rt_logits_manifest_write(folder, &m);
  } else if (err == RT_OK && m.complete)
    err = read_same(folder, info, false, &(rt_logits_manifest){0});
  rt_logits_manifest_clear(&m); // an unfinished manifest is kept: its shards
  return err;                   // contain the same texts
}

/** Check that the folder has no files of others, and is not used for something
 *  else. */
static rt_err check_new(const char *folder)
{
  char above[RT_PATH_MAX], path[RT_PATH_MAX], found[256];
  RT_TRY(rt_path_join(path, folder, ".."));
  RT_TRY(rt_logits_manifest_path(above, path));
  rt_logits_manifest m;
  const bool inside =
      rt_file_exists(above) && rt_logits_manifest_read(path, &m) == RT_OK;
  if (inside)
    rt_logits_manifest_clear(&m);
  RT_CHECK(!inside, RT_ERR_LOCKED,
           "%s is inside another dataset; choose a folder outside of it",
           folder);
  RT_TRY(each_file(folder, is_model, false, found));
  RT_CHECK(found[0] == '\0', RT_ERR_LOCKED,
           "%s is the folder of a model, it holds %s; choose another folder "
           "for the dataset",
           folder, found);
  RT_TRY(each_file(folder, is_written, false, found));
  RT_CHECK(found[0] == '\0', RT_ERR_LOCKED,
           "%s holds %s but no manifest.json: a dataset would overwrite it; "
           "choose another folder",
           folder, found);
  return RT_OK;
}

rt_err rt_logits_create(const char *folder, const rt_logits_info *info,
                        const char *deck)
{
  char path[RT_PATH_MAX];
  RT_TRY(rt_logits_info_check("capture", info));
  RT_TRY(rt_folder_create(folder));
  RT_TRY(rt_logits_manifest_path(path, folder));
  if (rt_file_exists(path))
    return reopen(folder, info);
  RT_TRY(check_new(folder));
  rt_logits_manifest m = {.info = *info};
  m.n_shards = rt_logits_n_shards(info);
  m.shards = calloc((size_t)m.n_shards, sizeof *m.shards);
  m.deck = strdup(deck);
  const rt_err err = m.deck != NULL && m.shards != NULL
                         ? rt_logits_manifest_write(folder, &m)
                         : RT_FAIL(RT_ERR_MEM, "the manifest of %s", folder);
  rt_logits_manifest_clear(&m);
  RT_TRY(err);
  return RT_OK;
}

/** Remove a shard that fails its seal, and the seal, so that it is not listed
 *  before it is written again.  A disk error or missing permission does not
 *  count as damage. */
static rt_err check_member(const char *path, const rt_logits_info *info,
                           int64_t i)
{
  char seal[RT_PATH_MAX];
  rt_seal_proof proof;
  rt_h5_reader *h5 = NULL;
  RT_TRY(rt_seal_path(seal, path));
  rt_err err = rt_h5_reader_open(path, &proof, &h5);
  rt_seal_proof_clear(&proof);
  if (err == RT_OK) {
    err = rt_logits_header_check(h5, path, info, i);
    rt_h5_reader_close(&h5);
    return err;
  }
  RT_CHECK(err == RT_ERR_DATA || !rt_path_exists(seal), err, "%s",
           rt_err_text());
  rt_warn("shard %lld is written again: %s", (long long)i, rt_err_text());
  RT_TRY(rt_path_remove(path));
  return rt_path_exists(seal) ? rt_path_remove(seal) : RT_OK;
}

static rt_err find_done(const char *folder, rt_logits_manifest *m, bool *done)
{
  for (int64_t i = 0; i < m->n_shards; i++) {
    char path[RT_PATH_MAX];
    RT_TRY(rt_logits_shard_path(path, folder, i));
    if (rt_file_exists(path))
      RT_TRY(check_member(path, &m->info, i));
    done[i] = rt_file_exists(path);
    if (!done[i])
      m->shards[i] = (rt_logits_shard){0};
  }
  return rt_logits_manifest_write(folder, m);
}

rt_err rt_logits_done(const char *folder, const rt_logits_info *info,
                      bool *done)
{
  static const char *const texts[] = {deck_name, card_name};
  char found[256];
  rt_logits_manifest m;
  RT_TRY(read_same(folder, info, false, &m));
  rt_lock_sweep(folder, texts, sizeof texts / sizeof texts[0]);
  rt_err err = each_file(folder, is_temporary, true, found);
  if (err == RT_OK)
    err = find_done(folder, &m, done);
  rt_logits_manifest_clear(&m);
  return err;
}

/** Add shards sealed since to the list; *missing is the first shard that does
 *  not exist, or n_shards. */
static rt_err list_shards(const char *folder, rt_logits_manifest *m,
                          int64_t *missing)
{
  *missing = m->n_shards;
  for (int64_t i = 0; i < m->n_shards; i++) {
    rt_logits_shard *const s = &m->shards[i];
    char path[RT_PATH_MAX];
    RT_TRY(rt_logits_shard_path(path, folder, i));
    if (s->bytes > 0)
      continue;
    if (!rt_file_exists(path)) {
      *missing = i < *missing ? i : *missing;
      continue;
    }
    RT_TRY(rt_seal_hash(path, &s->seal, s->sha256));
    RT_CHECK(s->sha256[0] != '\0', RT_ERR_DATA,
             "the seal of %s has no SHA-256: it was written by another program",
             path);
    RT_TRY(rt_file_size(path, &s->bytes));
  }
  return RT_OK;
}

/** Read the manifest of an unfinished capture for modification. */
static rt_err read_unfinished(const char *folder, rt_logits_manifest *m)
{
  RT_TRY(rt_logits_manifest_read(folder, m));
  if (!m->complete)
    return RT_OK;
  rt_logits_manifest_clear(m);
  return RT_FAIL(RT_ERR_LOCKED, "%s holds a finished capture", folder);
}

rt_err rt_logits_enter(const char *folder)
{
  rt_logits_manifest m;
  int64_t missing;
  RT_TRY(read_unfinished(folder, &m));
  rt_err err = list_shards(folder, &m, &missing);
  if (err == RT_OK)
    err = rt_logits_manifest_write(folder, &m);
  rt_logits_manifest_clear(&m);
  return err;
}

static rt_err finish(const char *folder, rt_logits_manifest *m)
{
  int64_t missing;
  // including shards that were already listed
  for (int64_t i = 0; i < m->n_shards; i++)
    m->shards[i] = (rt_logits_shard){0};
  RT_TRY(list_shards(folder, m, &missing));
  RT_CHECK(missing == m->n_shards, RT_ERR_DATA,
           "%s: shard %lld of %lld is not written yet", folder,
           (long long)missing, (long long)m->n_shards);
  RT_TRY(rt_logits_card_write(folder, m));
  char path[RT_PATH_MAX];
  RT_TRY(rt_path_join(path, folder, deck_name));
  RT_TRY(rt_file_put(path, m->deck, strlen(m->deck)));
  m->complete = true;
  return rt_logits_manifest_write(folder, m);
}

rt_err rt_logits_finish(const char *folder)
{
  rt_logits_manifest m;
  RT_TRY(read_unfinished(folder, &m));
  const rt_err err = finish(folder, &m);
  rt_logits_manifest_clear(&m);
  return err;
}

static rt_err verify_deck(const rt_logits *ds)
{
  char path[RT_PATH_MAX], *text = NULL;
  size_t n = 0;
  RT_TRY(rt_path_join(path, ds->folder, deck_name));
  if (!rt_path_exists(path)) // the deck is also in the manifest
    return RT_OK;
  RT_TRY(rt_file_slurp(path, 1 << 20, &text, &n));
  const bool same = strcmp(text, ds->manifest.deck) == 0;
  free(text);
  RT_CHECK(same, RT_ERR_DATA,
           "%s is not the deck of the capture, which manifest.json holds: it "
           "was damaged or changed; restore it from a copy, or remove it",
           path);
  return RT_OK;
}

/** Is \a name, which starts like a shard's name, a shard of the plan? */
static bool is_planned(const rt_logits *ds, const char *name)
{
  char *end, expected[32];
  const int64_t i = strtoll(name + strlen("shard-"), &end, 10);
  if (strcmp(end, ".h5.seal") == 0 || strstr(end, ".tmp") != NULL)
    return true; // belongs to a shard, or to a capture in progress
  rt_logits_shard_name(expected, i);
  return i >= 0 && i < ds->manifest.n_shards && strcmp(name, expected) == 0;
}

static rt_err tell_strangers(const rt_logits *ds)
{
  DIR *const dir = opendir(ds->folder);
  RT_CHECK(dir != NULL, RT_ERR_NOINPUT, "cannot list %s: %s", ds->folder,
           strerror(errno));
  for (struct dirent *e; (e = readdir(dir)) != NULL;)
    if (is_shard(e->d_name) && !is_planned(ds, e->d_name))
      rt_warn("%s/%s is not in the manifest, so it is never read", ds->folder,
              e->d_name);
  closedir(dir);
  return RT_OK;
}

rt_err rt_logits_verify_folder(const rt_logits *ds)
{
  RT_TRY(tell_strangers(ds));
  if (!ds->manifest.complete)
    return RT_OK;
  RT_TRY(rt_logits_verify_card(ds));
  return verify_deck(ds);
}
