/** \file checkpoint.c
 *  Finds, reads and prunes checkpoints. */
#include "io/run/checkpoint_parts.h"

#include "base/draft.h"
#include "base/file.h"
#include "base/hash.h"
#include "base/log.h"
#include "io/common/ranks.h"
#include "io/common/h5_reader.h"
#include "io/common/seal.h"
#include <dirent.h>
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/** A search for the newest valid checkpoint.  All borrowed. */
typedef struct search {
  MPI_Comm comm;
  const char *folder;
  rt_checkpoint_load *load;
  void *context;
} search;

void rt_checkpoint_meta_clear(rt_checkpoint_meta *meta)
{
  free(meta->deck);
  free(meta->arch);
  rt_h5_reader_close(&meta->file);
  *meta = (rt_checkpoint_meta){0};
}

rt_err rt_checkpoint_path(char out[RT_PATH_MAX], const char *folder,
                          const char *before, int64_t step, const char *after)
{
  char name[64];
  snprintf(name, sizeof name, "%sstep-%08lld%s", before, (long long)step,
           after);
  return rt_path_join(out, folder, name);
}

/** Are the \a n bytes at \a name "step-" and a number as in a checkpoint's? */
static bool is_step(const char *name, size_t n)
{
  return n >= 13 && strncmp(name, "step-", 5) == 0 &&
         strspn(name + 5, "0123456789") >= n - 5;
}

/** The step in a folder's name; -1 if it is not a checkpoint. */
static int64_t step_of(const char *name)
{
  if (!is_step(name, strlen(name)))
    return -1;
  errno = 0;
  const long long step = strtoll(name + 5, NULL, 10);
  return errno == 0 ? (int64_t)step : -1;
}

/** The step of a name that begins with \a before; -1: it is another one. */
static int64_t step_after(const char *before, const char *name)
{
  const size_t n = strlen(before);
  return strncmp(name, before, n) == 0 ? step_of(name + n) : -1;
}

/** Is everything of a checkpoint in \a folder?  Earlier versions left others,
 *  partly removed, under the name of one that is replaced. */
static rt_err is_whole(const char *folder, bool *whole)
{
  char state[RT_PATH_MAX], seal[RT_PATH_MAX];
  RT_TRY(rt_path_join(state, folder, "state.h5"));
  RT_TRY(rt_seal_path(seal, state));
  *whole = rt_path_exists(state) && rt_path_exists(seal);
  return RT_OK;
}

/** The file of a checkpoint's state.  One that a run was about to replace has
 *  another name until the new one is there, and keeps it if the run ends then;
 *  who may write gives it its name back (rt_checkpoint_put_back). */
static rt_err find_state(char out[RT_PATH_MAX], const char *folder,
                         int64_t step)
{
  char path[RT_PATH_MAX], old[RT_PATH_MAX];
  bool whole = false;
  RT_TRY(rt_checkpoint_path(path, folder, "", step, ""));
  RT_TRY(rt_checkpoint_path(old, folder, RT_CHECKPOINT_OLD, step, ""));
  if (!rt_path_exists(path))
    RT_TRY(is_whole(old, &whole));
  return rt_path_join(out, whole ? old : path, "state.h5");
}

/** The step of a name in a folder; -1: it is not counted. */
typedef int64_t step_fn(const char *folder, const char *name);

static int64_t own_step(const char *folder, const char *name)
{
  (void)folder;
  return step_of(name);
}

/** Also of one that was about to be replaced, if it is the only one. */
static int64_t readable_step(const char *folder, const char *name)
{
  const int64_t step = step_after(RT_CHECKPOINT_OLD, name);
  char path[RT_PATH_MAX], old[RT_PATH_MAX];
  bool whole = false;
  if (step < 0)
    return step_of(name);
  if (rt_checkpoint_path(path, folder, "", step, "") != RT_OK ||
      rt_path_join(old, folder, name) != RT_OK || rt_path_exists(path) ||
      is_whole(old, &whole) != RT_OK)
    return -1;
  return whole ? step : -1;
}

static int newest_first(const void *a, const void *b)
{
  const int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
  return (x < y) - (x > y);
}

/** Steps of the checkpoints in \a folder, newest first; the caller frees the
 *  array.  An absent folder has none. */
static rt_err list_steps(const char *folder, step_fn *step_in, int64_t **steps,
                         int64_t *n)
{
  *steps = NULL;
  *n = 0;
  DIR *const dir = opendir(folder);
  RT_CHECK(dir != NULL || errno == ENOENT, RT_ERR_NOINPUT, "cannot list %s: %s",
           folder, strerror(errno));
  rt_err err = RT_OK;
  for (struct dirent *e; err == RT_OK && dir && (e = readdir(dir)) != NULL;) {
    const int64_t step = step_in(folder, e->d_name);
    if (step < 0)
      continue;
    int64_t *const more = realloc(*steps, (size_t)(*n + 1) * sizeof **steps);
    if (more == NULL)
      err = RT_FAIL(RT_ERR_MEM, "a list of the checkpoints in %s", folder);
    else {
      more[(*n)++] = step;
      *steps = more;
    }
  }
  if (dir != NULL)
    closedir(dir);
  if (*n > 0)
    qsort(*steps, (size_t)*n, sizeof **steps, newest_first);
  return err;
}

/** Append the number of a damaged checkpoint to \a list [n]. */
static void list_damaged(int64_t step, char *list, size_t n)
{
  const size_t used = strlen(list);
  snprintf(list + used, n - used, "%s%lld", used > 0 ? ", " : "",
           (long long)step);
}

/** Load the first valid checkpoint among \a steps [n] of rank 0. */
static rt_err first_good(const search *s, const int64_t *steps, int64_t n,
                         int64_t *step)
{
  RT_TRY(rt_group_bcast(s->comm, &n, sizeof n));
  char newest[512] = "", damaged[512] = "";
  for (int64_t i = 0; i < n; i++) {
    int64_t tried = steps != NULL ? steps[i] : 0;
    RT_TRY(rt_group_bcast(s->comm, &tried, sizeof tried));
    const rt_err err = s->load(s->context, tried);
    *step = tried;
    if (err == RT_OK)
      return RT_OK;
    // a disk error, lack of memory or another deck does not mean that the
    // checkpoint is damaged
    if (err != RT_ERR_DATA && err != RT_ERR_NOINPUT)
      return err;
    rt_warn("the checkpoint of step %lld in %s is skipped: %s",
            (long long)tried, s->folder, rt_err_text());
    list_damaged(tried, damaged, sizeof damaged);
    if (i == 0)
      snprintf(newest, sizeof newest, "%s", rt_err_text());
  }
  RT_CHECK(n == 0, RT_ERR_DATA,
           "none of the %lld checkpoints in %s is valid (steps %s; the newest: "
           "%s); restore them from a copy, or choose another output.dir",
           (long long)n, s->folder, damaged, newest);
  *step = -1;
  return RT_OK;
}

rt_err rt_checkpoint_newest(MPI_Comm comm, const char *folder,
                            rt_checkpoint_load *load, void *context,
                            int64_t *step)
{
  const search s = {comm, folder, load, context};
  *step = -1;
  int64_t *steps = NULL, n = 0;
  int rank;
  RT_TRY_MPI(MPI_Comm_rank(comm, &rank));
  rt_err err =
      rank == 0 ? list_steps(folder, readable_step, &steps, &n) : RT_OK;
  err = rt_group_agree(comm, err);
  if (err == RT_OK)
    err = first_good(&s, steps, n, step);
  free(steps);
  RT_TRY(err);
  return RT_OK;
}

static rt_err read_text(const rt_h5_reader *h5, const char *name, char **text)
{
  rt_h5_shape s;
  RT_TRY(rt_h5_reader_look(h5, name, &s));
  RT_CHECK(s.dtype == RT_U8 && s.n_dims == 1, RT_ERR_DATA,
           "checkpoint: dataset %s is not a text", name);
  *text = calloc((size_t)s.rows + 1, 1);
  RT_CHECK(*text != NULL, RT_ERR_MEM, "%lld bytes of %s", (long long)s.rows,
           name);
  return rt_h5_reader_read(h5, name, 0, 0, rt_view_of(*text, RT_U8, s.rows, 1));
}

static rt_err read_hash(const rt_h5_reader *h5, const char *name,
                        char hex[RT_SHA256_HEX])
{
  char *text;
  RT_TRY(rt_h5_reader_text(h5, name, RT_SHA256_HEX, &text));
  snprintf(hex, RT_SHA256_HEX, "%s", text);
  free(text);
  return RT_OK;
}

static rt_err read_meta(const rt_h5_reader *h5, const char *path,
                        rt_checkpoint_meta *meta)
{
  char *format;
  int64_t version;
  RT_TRY(rt_h5_reader_text(h5, "format", 64, &format));
  const bool ours = strcmp(format, RT_CHECKPOINT_FORMAT) == 0;
  free(format);
  RT_TRY(rt_h5_reader_int(h5, "version", &version));
  RT_CHECK(ours && version >= 1, RT_ERR_DATA,
           "%s is not a %s (it has version %lld)", path, RT_CHECKPOINT_FORMAT,
           (long long)version);
  RT_CHECK(version >= 3 && version <= RT_CHECKPOINT_VERSION, RT_ERR_CONFIG,
           "%s was written by %s retort (version %lld of checkpoints; this one "
           "reads 3 to %d): use that retort, or choose another output.dir",
           path, version < 3 ? "an older" : "a newer", (long long)version,
           RT_CHECKPOINT_VERSION);
  RT_TRY(rt_h5_reader_int(h5, "step", &meta->step));
  RT_TRY(rt_h5_reader_int(h5, "consumed", &meta->consumed));
  RT_TRY(rt_h5_reader_int(h5, "tokens", &meta->tokens));
  RT_TRY(rt_h5_reader_int(h5, "skipped", &meta->skipped));
  int64_t hash;
  RT_TRY(rt_h5_reader_int(h5, "rows", &meta->rows));
  RT_TRY(rt_h5_reader_int(h5, "rows_xxh3", &hash));
  meta->rows_xxh3 = (uint64_t)hash;
  RT_TRY(rt_h5_reader_real(h5, "norm_mean", &meta->norm_mean));
  RT_TRY(read_hash(h5, "origin", meta->origin));
  if (version > 3)
    RT_TRY(read_hash(h5, "teacher", meta->teacher));
  if (version > 4)
    RT_TRY(read_hash(h5, "tokenizer", meta->tokenizer));
  RT_TRY(read_text(h5, "deck", &meta->deck));
  return read_text(h5, "config", &meta->arch);
}

/** No run writes other numbers. */
static rt_err check_numbers(const char *path, int64_t step,
                            const rt_checkpoint_meta *meta)
{
  RT_CHECK(meta->step == step, RT_ERR_DATA,
           "%s is of step %lld, its folder of step %lld", path,
           (long long)meta->step, (long long)step);
  RT_CHECK(meta->consumed >= 0 && meta->tokens >= 0 && meta->rows >= 0 &&
               meta->skipped >= 0 && meta->skipped <= step &&
               isfinite(meta->norm_mean) && meta->norm_mean >= 0.0,
           RT_ERR_DATA,
           "%s: %lld rows of %lld and %lld tokens consumed, %lld of %lld steps "
           "skipped, mean gradient norm %g: no run writes such numbers",
           path, (long long)meta->consumed, (long long)meta->rows,
           (long long)meta->tokens, (long long)meta->skipped, (long long)step,
           meta->norm_mean);
  return RT_OK;
}

/** Broadcast rank 0's meta. */
static rt_err share_meta(MPI_Comm comm, rt_err err, rt_checkpoint_meta *meta)
{
  int rank;
  RT_TRY_MPI(MPI_Comm_rank(comm, &rank));
  rt_checkpoint_meta numbers = *meta;
  size_t n_deck = meta->deck ? strlen(meta->deck) : 0;
  size_t n_arch = meta->arch ? strlen(meta->arch) : 0;
  RT_TRY(rt_group_bcast_text(comm, err, &meta->deck, &n_deck));
  RT_TRY(rt_group_bcast_text(comm, RT_OK, &meta->arch, &n_arch));
  RT_TRY(rt_group_bcast(comm, &numbers, sizeof numbers));
  numbers.deck = meta->deck;
  numbers.arch = meta->arch;
  numbers.file = meta->file;
  *meta = numbers;
  return RT_OK;
}

rt_err rt_checkpoint_proof(const char *folder, int64_t step, uint64_t *hash)
{
  char path[RT_PATH_MAX], sha256[RT_SHA256_HEX];
  RT_TRY(find_state(path, folder, step));
  return rt_seal_hash(path, hash, sha256);
}

rt_err rt_checkpoint_read_meta(MPI_Comm comm, const char *folder, int64_t step,
                               rt_checkpoint_meta *meta)
{
  *meta = (rt_checkpoint_meta){0};
  char path[RT_PATH_MAX];
  int rank;
  RT_TRY_MPI(MPI_Comm_rank(comm, &rank));
  rt_err err = rank == 0 ? find_state(path, folder, step) : RT_OK;
  RT_TRY(rt_group_agree(comm, err));
  RT_TRY(rt_group_bcast(comm, path, RT_PATH_MAX));
  RT_TRY(rt_h5_reader_open_all(comm, path, &meta->file));
  err = rank == 0 ? read_meta(meta->file, path, meta) : RT_OK;
  if (rank == 0 && err == RT_OK)
    err = check_numbers(path, step, meta);
  err = share_meta(comm, err, meta);
  if (err != RT_OK)
    rt_checkpoint_meta_clear(meta);
  RT_TRY(err);
  return RT_OK;
}

static rt_err read_slabs(const rt_h5_reader *h5, rt_slab *slabs, int n)
{
  for (int i = 0; i < n; i++) {
    const rt_h5_shape expected = {.dtype = slabs[i].data.dtype,
                                  .n_dims = 2,
                                  .rows = slabs[i].rows,
                                  .cols = slabs[i].cols};
    RT_TRY(rt_h5_reader_expect(h5, slabs[i].name, &expected));
    RT_TRY(rt_h5_reader_read(h5, slabs[i].name, slabs[i].row0, slabs[i].col0,
                             slabs[i].data));
  }
  return RT_OK;
}

rt_err rt_checkpoint_read(MPI_Comm comm, const rt_checkpoint_meta *meta,
                          rt_slab *slabs, int n_slabs)
{
  return rt_group_agree(comm, read_slabs(meta->file, slabs, n_slabs));
}

static rt_err remove_step(const char *folder, int64_t step)
{
  char path[RT_PATH_MAX], old[RT_PATH_MAX];
  RT_TRY(rt_checkpoint_path(path, folder, "", step, ""));
  RT_TRY(rt_checkpoint_path(old, folder, RT_CHECKPOINT_GONE, step, ""));
  RT_TRY(rt_path_remove(old));
  // rename it first, so that a partly removed checkpoint never has a valid name
  RT_TRY(rt_path_publish(path, old));
  return rt_path_remove(old);
}

/** Rename to step-00000030.damaged, or .damaged-2 ... */
static rt_err set_aside(const char *folder, int64_t step)
{
  char path[RT_PATH_MAX], to[RT_PATH_MAX], after[32] = ".damaged";
  RT_TRY(rt_checkpoint_path(path, folder, "", step, ""));
  RT_TRY(rt_checkpoint_path(to, folder, "", step, after));
  for (int i = 2; rt_path_exists(to); i++) {
    snprintf(after, sizeof after, ".damaged-%d", i);
    RT_TRY(rt_checkpoint_path(to, folder, "", step, after));
  }
  RT_CHECK(rename(path, to) == 0, RT_ERR_IO, "cannot rename %s to %s: %s", path,
           to, strerror(errno));
  rt_warn("%s is kept as %s: remove it when it is no longer needed", path, to);
  return RT_OK;
}

rt_err rt_checkpoint_later(const char *folder, int64_t step, int64_t *n)
{
  int64_t *steps, n_all;
  *n = 0;
  const rt_err err = list_steps(folder, own_step, &steps, &n_all);
  while (err == RT_OK && *n < n_all && steps[*n] > step)
    ++*n;
  free(steps);
  return err;
}

rt_err rt_checkpoint_set_aside(const char *folder, int64_t step)
{
  int64_t *steps, n;
  rt_err err = list_steps(folder, own_step, &steps, &n);
  for (int64_t i = 0; err == RT_OK && i < n && steps[i] > step; i++)
    err = set_aside(folder, steps[i]);
  free(steps);
  RT_TRY(err);
  return RT_OK;
}

/** Is it .tmp-step-00000030.tmp.HOST.PID, which a writer makes, or
 *  .tmp-old-step-00000030, of a checkpoint that was replaced, or
 *  .tmp-rm-step-00000030, of one in removal?  Other names are not ours.
 *  Earlier versions wrote to .tmp-step-00000030. */
static bool is_leftover(const char *name)
{
  static const char draft[] = RT_CHECKPOINT_TMP;
  const size_t n = strlen(name), base = rt_draft_base(name, n);
  if (step_after(RT_CHECKPOINT_OLD, name) >= 0 ||
      step_after(RT_CHECKPOINT_GONE, name) >= 0)
    return true;
  return strncmp(name, draft, sizeof draft - 1) == 0 &&
         is_step(name + sizeof draft - 1,
                 (base > 0 ? base : n) - (sizeof draft - 1));
}

/** Give .tmp-old-step-00000030 its name back, if no checkpoint has it.  If one
 *  has, remove it now: once that one is set aside, it would seem to be later
 *  than the run. */
static rt_err put_back(const char *folder, const char *name)
{
  const int64_t step = step_after(RT_CHECKPOINT_OLD, name);
  char old[RT_PATH_MAX], path[RT_PATH_MAX];
  if (step < 0)
    return RT_OK;
  RT_TRY(rt_path_join(old, folder, name));
  RT_TRY(rt_checkpoint_path(path, folder, "", step, ""));
  if (rt_path_exists(path))
    return rt_path_remove(old);
  bool whole = false;
  RT_TRY(is_whole(old, &whole));
  if (!whole)
    return RT_OK;
  RT_TRY(rt_path_publish(old, path));
  rt_warn("%s is back: a run ended while it replaced it", path);
  return RT_OK;
}

/** Remove \a name, if it is a leftover. */
static rt_err remove_leftover(const char *folder, const char *name)
{
  char path[RT_PATH_MAX];
  if (!is_leftover(name))
    return RT_OK;
  RT_TRY(rt_path_join(path, folder, name));
  return rt_path_remove(path);
}

/** Do something with all names in \a folder, which may be absent, even if it
 *  fails for some. */
static rt_err for_all(const char *folder,
                      rt_err (*act)(const char *folder, const char *name))
{
  DIR *const dir = opendir(folder);
  RT_CHECK(dir != NULL || errno == ENOENT, RT_ERR_IO, "cannot list %s: %s",
           folder, strerror(errno));
  rt_err err = RT_OK;
  for (struct dirent *e; dir != NULL && (e = readdir(dir)) != NULL;) {
    const rt_err of_one = act(folder, e->d_name);
    err = err == RT_OK ? of_one : err;
  }
  if (dir != NULL)
    closedir(dir);
  return err;
}

rt_err rt_checkpoint_put_back(const char *folder)
{
  return for_all(folder, put_back);
}

rt_err rt_checkpoint_sweep(const char *folder)
{
  RT_TRY(rt_checkpoint_put_back(folder));
  return for_all(folder, remove_leftover);
}

rt_err rt_checkpoint_prune(const char *folder, int keep_last,
                           int64_t keep_every)
{
  int64_t *steps, n;
  rt_err err = rt_checkpoint_sweep(folder);
  const rt_err listed = list_steps(folder, own_step, &steps, &n);
  err = err == RT_OK ? listed : err;
  for (int64_t i = keep_last > 0 ? keep_last : 0; steps != NULL && i < n; i++) {
    const bool kept = keep_every > 0 && steps[i] % keep_every == 0;
    const rt_err gone = kept ? RT_OK : remove_step(folder, steps[i]);
    err = err == RT_OK ? gone : err;
  }
  free(steps);
  RT_TRY(err);
  return RT_OK;
}
