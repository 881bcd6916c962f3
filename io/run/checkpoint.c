/** \file checkpoint.c
 *  Checkpoints: written by all ranks into one HDF5 file, sealed, renamed. */
#include "io/run/checkpoint.h"

#include "base/file.h"
#include "base/hash.h"
#include "base/log.h"
#include "io/common/ranks.h"
#include "io/common/h5_reader.h"
#include "io/common/seal.h"
#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char format_name[] = "retort-checkpoint";
static const int64_t format_version = 4; // 3 lacks the teacher
static const char tmp_prefix[] = ".tmp-";
static const int64_t slack_bytes = 1 << 20; // metadata and seal, for preflight

void rt_checkpoint_meta_clear(rt_checkpoint_meta *meta)
{
  free(meta->deck);
  free(meta->arch);
  *meta = (rt_checkpoint_meta){0};
}

/** FOLDER/<before>step-00000100<after> */
static rt_err step_path(char out[RT_PATH_MAX], const char *folder,
                        const char *before, int64_t step, const char *after)
{
  char name[64];
  snprintf(name, sizeof name, "%sstep-%08lld%s", before, (long long)step,
           after);
  return rt_path_join(out, folder, name);
}

/** --- writing --- */

/** This rank's pieces make sense. */
static rt_err check_pieces(const rt_slab *slabs, int n)
{
  for (int i = 0; i < n; i++) {
    const rt_slab *const s = &slabs[i];
    const rt_view *const v = &s->data;
    RT_CHECK(v->rows == 0 || ((v->dtype == RT_F32 || v->dtype == RT_F64) &&
                              s->row0 >= 0 && s->row0 <= s->rows - v->rows &&
                              s->col0 >= 0 && s->col0 <= s->cols - v->cols),
             RT_ERR_INTERNAL,
             "checkpoint: %s piece %lld x %lld at (%lld, %lld) of %s is not "
             "inside %lld x %lld, or not f32 or f64",
             rt_dtype_name(v->dtype), (long long)v->rows, (long long)v->cols,
             (long long)s->row0, (long long)s->col0, s->name,
             (long long)s->rows, (long long)s->cols);
  }
  return RT_OK;
}

/** A hash of what every rank must say alike; collective calls in different
 *  order would hang inside HDF5. */
static uint64_t signature(int64_t step, const rt_slab *slabs, int n)
{
  uint64_t h = rt_hash_xxh3(&step, sizeof step);
  for (int i = 0; i < n; i++) {
    const uint64_t part[] = {h,
                             rt_hash_xxh3(slabs[i].name, strlen(slabs[i].name)),
                             (uint64_t)slabs[i].rows, (uint64_t)slabs[i].cols};
    h = rt_hash_xxh3(part, sizeof part);
  }
  return h;
}

/** All ranks name the same tensors, and their pieces are as many elements as
 *  the tensors have, of one type, which goes into \a dtypes [n]. */
static rt_err check_together(MPI_Comm comm, int64_t step, const rt_slab *slabs,
                             int n, int64_t *elements, int *dtypes)
{
  RT_ASSERT(elements != NULL && dtypes != NULL);
  uint64_t mine[2], most[2];
  mine[0] = signature(step, slabs, n);
  mine[1] = ~mine[0];
  RT_TRY_MPI(MPI_Allreduce(mine, most, 2, MPI_UINT64_T, MPI_MAX, comm));
  RT_CHECK(most[0] == ~most[1], RT_ERR_INTERNAL,
           "checkpoint of step %lld: ranks name other tensors or shapes",
           (long long)step);
  for (int i = 0; i < n; i++) {
    const bool some = slabs[i].data.rows > 0;
    elements[i] = (int64_t)rt_view_size(&slabs[i].data);
    dtypes[i] = some ? (int)slabs[i].data.dtype : INT_MIN;
    dtypes[n + i] = some ? -(int)slabs[i].data.dtype : INT_MIN;
  }
  RT_TRY_MPI(
      MPI_Allreduce(MPI_IN_PLACE, elements, n, MPI_INT64_T, MPI_SUM, comm));
  RT_TRY_MPI(
      MPI_Allreduce(MPI_IN_PLACE, dtypes, 2 * n, MPI_INT, MPI_MAX, comm));
  for (int i = 0; i < n; i++)
    RT_CHECK(elements[i] == slabs[i].rows * slabs[i].cols &&
                 dtypes[i] == -dtypes[n + i],
             RT_ERR_INTERNAL,
             "checkpoint: the ranks' pieces of %s have %lld elements, expected "
             "%lld of one type",
             slabs[i].name, (long long)elements[i],
             (long long)(slabs[i].rows * slabs[i].cols));
  return RT_OK;
}

/** Room for the checkpoint, and an empty temporary folder.  Rank 0. */
static rt_err prepare(const char *folder, const char *tmp, const rt_slab *slabs,
                      const int *dtypes, int n)
{
  int64_t bytes = slack_bytes, room;
  for (int i = 0; i < n; i++)
    bytes += slabs[i].rows * slabs[i].cols *
             (int64_t)rt_dtype_size((rt_dtype)dtypes[i]);
  RT_TRY(rt_folder_create(folder));
  RT_TRY(rt_disk_free(folder, &room));
  RT_CHECK(bytes <= room, RT_ERR_IO,
           "no room for a checkpoint: %.1f MiB needed in %s, %.1f MiB free; "
           "free some or lower checkpoint.keep_last",
           (double)bytes / 1048576, folder, (double)room / 1048576);
  const int64_t most = rt_file_most_bytes();
  RT_CHECK(bytes - slack_bytes <= most, RT_ERR_IO,
           "a checkpoint has %.1f MiB, and files of this process may have at "
           "most %.1f MiB: raise the limit (ulimit -f)",
           (double)bytes / 1048576, (double)most / 1048576);
  RT_TRY(rt_path_remove(tmp)); // of a run that was killed here
  return rt_folder_create(tmp);
}

/** A text as bytes; it may be longer than an attribute should be. */
static rt_err write_text(rt_h5 *h5, const char *name, const char *text,
                         int rank)
{
  const int64_t n = (int64_t)strlen(text);
  const rt_h5_shape shape = {.dtype = RT_U8, .n_dims = 1, .rows = n, .cols = 1};
  RT_TRY(rt_h5_declare(h5, name, &shape));
  // HDF5 wants a pointer to non-const, and only reads from it
  return rt_h5_write(
      h5, name, 0, 0,
      rt_view_of((void *)(uintptr_t)text, RT_U8, rank == 0 ? n : 0, 1));
}

static rt_err write_meta(rt_h5 *h5, const rt_checkpoint_meta *meta, int rank)
{
  RT_TRY(rt_h5_put_text(h5, "format", format_name));
  RT_TRY(rt_h5_put_int(h5, "version", format_version));
  RT_TRY(rt_h5_put_int(h5, "step", meta->step));
  RT_TRY(rt_h5_put_int(h5, "consumed", meta->consumed));
  RT_TRY(rt_h5_put_int(h5, "tokens", meta->tokens));
  RT_TRY(rt_h5_put_int(h5, "skipped", meta->skipped));
  RT_TRY(rt_h5_put_int(h5, "rows", meta->rows));
  RT_TRY(rt_h5_put_int(h5, "rows_xxh3", (int64_t)meta->rows_xxh3));
  RT_TRY(rt_h5_put_real(h5, "norm_mean", meta->norm_mean));
  RT_TRY(rt_h5_put_text(h5, "origin", meta->origin));
  RT_TRY(rt_h5_put_text(h5, "teacher", meta->teacher));
  RT_TRY(write_text(h5, "deck", meta->deck ? meta->deck : "", rank));
  return write_text(h5, "config", meta->arch ? meta->arch : "", rank);
}

static rt_err write_contents(rt_h5 *h5, const rt_checkpoint_meta *meta,
                             const rt_slab *slabs, const int *dtypes, int n,
                             int rank)
{
  RT_TRY(write_meta(h5, meta, rank));
  for (int i = 0; i < n; i++) {
    const rt_h5_shape shape = {.dtype = (rt_dtype)dtypes[i],
                               .n_dims = 2,
                               .rows = slabs[i].rows,
                               .cols = slabs[i].cols};
    RT_TRY(rt_h5_declare(h5, slabs[i].name, &shape));
    RT_TRY(rt_h5_write(h5, slabs[i].name, slabs[i].row0, slabs[i].col0,
                       slabs[i].data));
  }
  return RT_OK;
}

/** A rank that fails must not let its peers wait inside HDF5. */
static rt_err or_fatal(rt_err err, const char *path, rt_fatal_fn *fatal)
{
  int64_t room = 0;
  char text[1024];
  if (err == RT_ERR_IO) { // HDF5 does not say whether the disk is full
    snprintf(text, sizeof text, "%s", rt_err_text());
    const bool known = rt_disk_free(path, &room) == RT_OK;
    err = known ? RT_FAIL(err, "%s; %.1f MiB are free there now", text,
                          (double)room / 1048576)
                : RT_FAIL(err, "%s", text);
  }
  if (err != RT_OK && fatal != NULL)
    fatal(err);
  return err;
}

static rt_err write_file(MPI_Comm comm, const char *path,
                         const rt_checkpoint_meta *meta, const rt_slab *slabs,
                         const int *dtypes, int n, rt_fatal_fn *fatal)
{
  int rank;
  RT_TRY_MPI(MPI_Comm_rank(comm, &rank));
  rt_h5 *h5;
  RT_TRY(or_fatal(rt_h5_create(path, comm, &h5), path, fatal));
  const rt_err err =
      or_fatal(write_contents(h5, meta, slabs, dtypes, n, rank), path, fatal);
  const rt_err closed = or_fatal(rt_h5_close(&h5), path, fatal);
  RT_TRY(err);
  RT_TRY(closed);
  return or_fatal(rt_path_sync(path), path, fatal); // this node's cache
}

/** Rename the finished folder; an older one of the same step goes away after
 *  that.  Rank 0. */
static rt_err publish(const char *folder, const char *tmp, int64_t step)
{
  char path[RT_PATH_MAX], old[RT_PATH_MAX];
  RT_TRY(step_path(path, folder, "", step, ""));
  RT_TRY(step_path(old, folder, ".tmp-old-", step, ""));
  RT_TRY(rt_path_remove(old));
  RT_CHECK(rename(path, old) == 0 || errno == ENOENT, RT_ERR_IO,
           "cannot rename %s to %s: %s", path, old, strerror(errno));
  RT_TRY(rt_path_publish(tmp, path));
  return rt_path_remove(old);
}

static rt_err write_checkpoint(MPI_Comm comm, const char *folder,
                               const rt_checkpoint_meta *meta,
                               const rt_slab *slabs, const int *dtypes, int n,
                               rt_fatal_fn *fatal)
{
  char tmp[RT_PATH_MAX], path[RT_PATH_MAX];
  int rank;
  RT_TRY_MPI(MPI_Comm_rank(comm, &rank));
  rt_err err = step_path(tmp, folder, tmp_prefix, meta->step, "");
  if (err == RT_OK)
    err = rt_path_join(path, tmp, "state.h5");
  if (err == RT_OK && rank == 0)
    err = prepare(folder, tmp, slabs, dtypes, n);
  RT_TRY(rt_group_agree(comm, err));
  err = write_file(comm, path, meta, slabs, dtypes, n, fatal);
  RT_TRY(rt_group_agree(comm, err));
  RT_TRY(rt_seal_write(comm, path, NULL, 0, false));
  err = rank == 0 ? publish(folder, tmp, meta->step) : RT_OK;
  return rt_group_agree(comm, err);
}

rt_err rt_checkpoint_write(MPI_Comm comm, const char *folder,
                           const rt_checkpoint_meta *meta, const rt_slab *slabs,
                           int n_slabs, rt_fatal_fn *fatal)
{
  const size_t n = (size_t)n_slabs;
  int64_t *const elements = calloc(n + 1, sizeof *elements);
  int *const dtypes = calloc(2 * n + 1, sizeof *dtypes);
  rt_err err = elements == NULL || dtypes == NULL
                   ? RT_FAIL(RT_ERR_MEM, "a list of %zu tensors", n)
                   : check_pieces(slabs, n_slabs);
  err = rt_group_agree(comm, err);
  if (err == RT_OK)
    err = check_together(comm, meta->step, slabs, n_slabs, elements, dtypes);
  if (err == RT_OK)
    err = write_checkpoint(comm, folder, meta, slabs, dtypes, n_slabs, fatal);
  free(elements);
  free(dtypes);
  RT_TRY(err);
  return RT_OK;
}

/** --- finding --- */

/** Step of a folder's name; -1 when it is no checkpoint. */
static int64_t step_of(const char *name)
{
  if (strncmp(name, "step-", 5) != 0 || strlen(name + 5) < 8 ||
      strspn(name + 5, "0123456789") != strlen(name + 5))
    return -1;
  errno = 0;
  const long long step = strtoll(name + 5, NULL, 10);
  return errno == 0 ? (int64_t)step : -1;
}

static int newest_first(const void *a, const void *b)
{
  const int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
  return (x < y) - (x > y);
}

/** Steps of the checkpoints in \a folder, newest first; the caller frees.  An
 *  absent folder has none. */
static rt_err list_steps(const char *folder, int64_t **steps, int64_t *n)
{
  *steps = NULL;
  *n = 0;
  DIR *const dir = opendir(folder);
  RT_CHECK(dir != NULL || errno == ENOENT, RT_ERR_NOINPUT, "cannot list %s: %s",
           folder, strerror(errno));
  rt_err err = RT_OK;
  for (struct dirent *e; err == RT_OK && dir && (e = readdir(dir)) != NULL;) {
    const int64_t step = step_of(e->d_name);
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

static rt_err check_step(MPI_Comm comm, const char *folder, int64_t step)
{
  char path[RT_PATH_MAX];
  RT_TRY(step_path(path, folder, "", step, "/state.h5"));
  return rt_seal_check(comm, path);
}

/** \a steps [n] are rank 0's. */
static rt_err first_good(MPI_Comm comm, const char *folder,
                         const int64_t *steps, int64_t n, int64_t *step)
{
  int rank;
  RT_TRY_MPI(MPI_Comm_rank(comm, &rank));
  RT_TRY(rt_group_bcast(comm, &n, sizeof n));
  char newest[512] = "";
  for (int64_t i = 0; i < n; i++) {
    int64_t tried = steps != NULL ? steps[i] : 0;
    RT_TRY(rt_group_bcast(comm, &tried, sizeof tried));
    const rt_err err = check_step(comm, folder, tried);
    *step = tried;
    if (err == RT_OK)
      return RT_OK;
    // a bad disk, or no memory, says nothing of the checkpoint
    if (err != RT_ERR_DATA && err != RT_ERR_NOINPUT)
      return err;
    rt_warn("checkpoint of step %lld is left out: %s", (long long)tried,
            rt_err_text());
    if (i == 0)
      snprintf(newest, sizeof newest, "%s", rt_err_text());
  }
  RT_CHECK(n == 0, RT_ERR_DATA,
           "none of the %lld checkpoints in %s is whole (%s); remove them to "
           "start afresh",
           (long long)n, folder, newest);
  *step = -1;
  return RT_OK;
}

rt_err rt_checkpoint_newest(MPI_Comm comm, const char *folder, int64_t *step)
{
  *step = -1;
  int64_t *steps = NULL, n = 0;
  int rank;
  RT_TRY_MPI(MPI_Comm_rank(comm, &rank));
  rt_err err = rank == 0 ? list_steps(folder, &steps, &n) : RT_OK;
  err = rt_group_agree(comm, err);
  if (err == RT_OK)
    err = first_good(comm, folder, steps, n, step);
  free(steps);
  RT_TRY(err);
  return RT_OK;
}

/** --- reading --- */

static rt_err read_text(const rt_h5_reader *h5, const char *name, char **text)
{
  rt_h5_shape s;
  RT_TRY(rt_h5_reader_look(h5, name, &s));
  RT_CHECK(s.dtype == RT_U8 && s.n_dims == 1, RT_ERR_DATA,
           "checkpoint: dataset %s is no text", name);
  *text = calloc((size_t)s.rows + 1, 1);
  RT_CHECK(*text != NULL, RT_ERR_MEM, "%lld bytes of %s", (long long)s.rows,
           name);
  return rt_h5_reader_read(h5, name, 0, 0, rt_view_of(*text, RT_U8, s.rows, 1));
}

static rt_err read_meta(const rt_h5_reader *h5, const char *path,
                        rt_checkpoint_meta *meta)
{
  char *format;
  int64_t version;
  RT_TRY(rt_h5_reader_text(h5, "format", 64, &format));
  const bool ours = strcmp(format, format_name) == 0;
  free(format);
  RT_TRY(rt_h5_reader_int(h5, "version", &version));
  RT_CHECK(ours && version >= 3 && version <= format_version, RT_ERR_DATA,
           "%s is no %s of version 3 to %lld (it has version %lld)", path,
           format_name, (long long)format_version, (long long)version);
  RT_TRY(rt_h5_reader_int(h5, "step", &meta->step));
  RT_TRY(rt_h5_reader_int(h5, "consumed", &meta->consumed));
  RT_TRY(rt_h5_reader_int(h5, "tokens", &meta->tokens));
  RT_TRY(rt_h5_reader_int(h5, "skipped", &meta->skipped));
  int64_t hash;
  RT_TRY(rt_h5_reader_int(h5, "rows", &meta->rows));
  RT_TRY(rt_h5_reader_int(h5, "rows_xxh3", &hash));
  meta->rows_xxh3 = (uint64_t)hash;
  RT_TRY(rt_h5_reader_real(h5, "norm_mean", &meta->norm_mean));
  char *origin;
  RT_TRY(rt_h5_reader_text(h5, "origin", sizeof meta->origin, &origin));
  snprintf(meta->origin, sizeof meta->origin, "%s", origin);
  free(origin);
  if (version > 3) {
    char *teacher;
    RT_TRY(rt_h5_reader_text(h5, "teacher", sizeof meta->teacher, &teacher));
    snprintf(meta->teacher, sizeof meta->teacher, "%s", teacher);
    free(teacher);
  }
  RT_TRY(read_text(h5, "deck", &meta->deck));
  return read_text(h5, "config", &meta->arch);
}

/** On rank 0. */
static rt_err open_meta(const char *path, rt_checkpoint_meta *meta)
{
  rt_h5_reader *h5;
  RT_TRY(rt_h5_reader_open(path, &h5));
  const rt_err err = read_meta(h5, path, meta);
  rt_h5_reader_close(&h5);
  return err;
}

/** Rank 0's meta to everybody. */
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
  *meta = numbers;
  return RT_OK;
}

rt_err rt_checkpoint_proof(const char *folder, int64_t step, uint64_t *hash)
{
  char path[RT_PATH_MAX], sha256[RT_SHA256_HEX];
  RT_TRY(step_path(path, folder, "", step, "/state.h5"));
  return rt_seal_hash(path, hash, sha256);
}

rt_err rt_checkpoint_read_meta(MPI_Comm comm, const char *folder, int64_t step,
                               rt_checkpoint_meta *meta)
{
  *meta = (rt_checkpoint_meta){0};
  char path[RT_PATH_MAX];
  int rank;
  RT_TRY_MPI(MPI_Comm_rank(comm, &rank));
  RT_TRY(check_step(comm, folder, step)); // no unproved file reaches HDF5
  RT_TRY(step_path(path, folder, "", step, "/state.h5"));
  rt_err err = rank == 0 ? open_meta(path, meta) : RT_OK;
  err = share_meta(comm, err, meta);
  if (err != RT_OK)
    rt_checkpoint_meta_clear(meta);
  RT_TRY(err);
  return RT_OK;
}

static rt_err read_slabs(const rt_h5_reader *h5, rt_slab *slabs, int n)
{
  for (int i = 0; i < n; i++) {
    rt_h5_shape s;
    RT_TRY(rt_h5_reader_look(h5, slabs[i].name, &s));
    const bool some = slabs[i].data.rows > 0;
    const rt_h5_shape expected = {.dtype = some ? slabs[i].data.dtype : s.dtype,
                                  .n_dims = 2,
                                  .rows = slabs[i].rows,
                                  .cols = slabs[i].cols};
    RT_TRY(rt_h5_reader_expect(h5, slabs[i].name, &expected));
    RT_TRY(rt_h5_reader_read(h5, slabs[i].name, slabs[i].row0, slabs[i].col0,
                             slabs[i].data));
  }
  return RT_OK;
}

rt_err rt_checkpoint_read(MPI_Comm comm, const char *folder, int64_t step,
                          rt_slab *slabs, int n_slabs)
{
  char path[RT_PATH_MAX];
  RT_TRY(step_path(path, folder, "", step, "/state.h5"));
  rt_h5_reader *h5;
  RT_TRY(rt_h5_reader_open_all(comm, path, &h5));
  const rt_err err = read_slabs(h5, slabs, n_slabs);
  rt_h5_reader_close(&h5);
  return rt_group_agree(comm, err);
}

/** --- pruning --- */

static rt_err remove_step(const char *folder, int64_t step)
{
  char path[RT_PATH_MAX], old[RT_PATH_MAX];
  RT_TRY(step_path(path, folder, "", step, ""));
  RT_TRY(step_path(old, folder, ".tmp-old-", step, ""));
  RT_TRY(rt_path_remove(old));
  // renamed first: half a checkpoint never has a checkpoint's name
  RT_CHECK(rename(path, old) == 0, RT_ERR_IO, "cannot rename %s to %s: %s",
           path, old, strerror(errno));
  return rt_path_remove(old);
}

/** step-00000030.damaged, or .damaged-2 ... */
static rt_err set_aside(const char *folder, int64_t step)
{
  char path[RT_PATH_MAX], to[RT_PATH_MAX], after[32] = ".damaged";
  RT_TRY(step_path(path, folder, "", step, ""));
  RT_TRY(step_path(to, folder, "", step, after));
  for (int i = 2; rt_path_exists(to); i++) {
    snprintf(after, sizeof after, ".damaged-%d", i);
    RT_TRY(step_path(to, folder, "", step, after));
  }
  RT_CHECK(rename(path, to) == 0, RT_ERR_IO, "cannot rename %s to %s: %s", path,
           to, strerror(errno));
  rt_warn("%s is kept as %s: remove it when nobody needs it", path, to);
  return RT_OK;
}

rt_err rt_checkpoint_set_aside(const char *folder, int64_t step)
{
  int64_t *steps, n;
  rt_err err = list_steps(folder, &steps, &n);
  for (int64_t i = 0; err == RT_OK && i < n && steps[i] > step; i++)
    err = set_aside(folder, steps[i]);
  free(steps);
  RT_TRY(err);
  return RT_OK;
}

static rt_err remove_temporary(const char *folder)
{
  DIR *const dir = opendir(folder);
  RT_CHECK(dir != NULL || errno == ENOENT, RT_ERR_IO, "cannot list %s: %s",
           folder, strerror(errno));
  rt_err err = RT_OK;
  for (struct dirent *e; err == RT_OK && dir && (e = readdir(dir)) != NULL;)
    if (strncmp(e->d_name, tmp_prefix, strlen(tmp_prefix)) == 0) {
      char path[RT_PATH_MAX];
      err = rt_path_join(path, folder, e->d_name);
      if (err == RT_OK)
        err = rt_path_remove(path);
    }
  if (dir != NULL)
    closedir(dir);
  return err;
}

rt_err rt_checkpoint_prune(const char *folder, int keep_last,
                           int64_t keep_every)
{
  RT_TRY(remove_temporary(folder));
  int64_t *steps, n;
  rt_err err = list_steps(folder, &steps, &n);
  for (int64_t i = keep_last > 0 ? keep_last : 0; steps != NULL && i < n; i++)
    if (err == RT_OK && (keep_every <= 0 || steps[i] % keep_every != 0))
      err = remove_step(folder, steps[i]);
  free(steps);
  RT_TRY(err);
  return RT_OK;
}
