/** \file checkpoint_write.c
 *  Writes a checkpoint: one HDF5 file, laid out by one rank, written by all,
 *  sealed, renamed. */
#include "io/run/checkpoint_parts.h"

#include "base/hash.h"
#include "base/outfile.h"
#include "io/common/h5.h"
#include "io/common/ranks.h"
#include "io/common/seal.h"
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

// allowance for metadata and seal in the check of free space
static const int64_t slack_bytes = 1 << 20;

/** What is written, and at which offsets. */
typedef struct plan {
  const rt_slab *slabs; // borrowed [n]: this rank's
  int n;
  int64_t *elements; // owned [n]: elements of each tensor over all ranks
  int *dtypes;       // owned [2 n]: types of the tensors, then scratch
  rt_extent *where;  // owned [n]: extents in the file
} plan;

/** Check this rank's parts. */
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

/** A hash of everything that must be equal on all ranks; otherwise a tensor
 *  could be written to the place of another. */
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

/** Check that all ranks pass the same tensors, and that their parts add up to
 *  the tensors' elements, with one type each, which is stored in p->dtypes. */
static rt_err check_together(MPI_Comm comm, int64_t step, const plan *p)
{
  const int n = p->n;
  const rt_slab *const slabs = p->slabs;
  int *const dtypes = p->dtypes;
  RT_ASSERT(dtypes != NULL && p->where != NULL && p->elements != NULL);
  uint64_t mine[2], max[2];
  mine[0] = signature(step, slabs, n);
  mine[1] = ~mine[0];
  RT_TRY_MEETING("all-reduce",
                 MPI_Allreduce(mine, max, 2, MPI_UINT64_T, MPI_MAX, comm));
  RT_CHECK(max[0] == ~max[1], RT_ERR_INTERNAL,
           "checkpoint of step %lld: ranks pass different tensors or shapes",
           (long long)step);
  int64_t *const elements = p->elements;
  for (int i = 0; i < n; i++) {
    const bool some = slabs[i].data.rows > 0;
    elements[i] = (int64_t)rt_view_size(&slabs[i].data);
    dtypes[i] = some ? (int)slabs[i].data.dtype : INT_MIN;
    dtypes[n + i] = some ? -(int)slabs[i].data.dtype : INT_MIN;
  }
  RT_TRY_MEETING("all-reduce", MPI_Allreduce(MPI_IN_PLACE, elements, n,
                                             MPI_INT64_T, MPI_SUM, comm));
  RT_TRY_MEETING("all-reduce", MPI_Allreduce(MPI_IN_PLACE, dtypes, 2 * n,
                                             MPI_INT, MPI_MAX, comm));
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

static int64_t bytes_of(const plan *p)
{
  int64_t bytes = slack_bytes;
  for (int i = 0; i < p->n; i++)
    bytes += p->slabs[i].rows * p->slabs[i].cols *
             (int64_t)rt_dtype_size((rt_dtype)p->dtypes[i]);
  return bytes;
}

/** Check free space, and create an empty temporary folder.  Rank 0. */
static rt_err prepare(const char *folder, const char *tmp, const plan *p)
{
  const int64_t bytes = bytes_of(p);
  int64_t room;
  RT_TRY(rt_folder_create(folder));
  RT_TRY(rt_disk_free(folder, &room));
  RT_CHECK(bytes <= room, RT_ERR_IO,
           "no room for a checkpoint: %.1f MiB needed in %s, %.1f MiB free; "
           "free some or lower checkpoint.keep_last",
           (double)bytes / 1048576, folder, (double)room / 1048576);
  const int64_t max = rt_file_most_bytes();
  RT_CHECK(bytes - slack_bytes <= max, RT_ERR_IO,
           "a checkpoint has %.1f MiB, and files of this process may have at "
           "most %.1f MiB: raise the limit (ulimit -f)",
           (double)bytes / 1048576, (double)max / 1048576);
  RT_TRY(rt_path_remove(tmp)); // left by a run that was killed here
  return rt_folder_create(tmp);
}

/** Write a text as a dataset of bytes, as it may be too long for an attribute.
 */
static rt_err write_text(rt_h5 *h5, const char *name, const char *text)
{
  const int64_t n = (int64_t)strlen(text);
  const rt_h5_shape shape = {.dtype = RT_U8, .n_dims = 1, .rows = n, .cols = 1};
  RT_TRY(rt_h5_declare(h5, name, &shape));
  // HDF5 takes a non-const pointer, but only reads from it
  return rt_h5_write(h5, name, 0, 0,
                     rt_view_of((void *)(uintptr_t)text, RT_U8, n, 1));
}

static rt_err write_meta(rt_h5 *h5, const rt_checkpoint_meta *meta)
{
  RT_TRY(rt_h5_put_text(h5, "format", RT_CHECKPOINT_FORMAT));
  RT_TRY(rt_h5_put_int(h5, "version", RT_CHECKPOINT_VERSION));
  RT_TRY(rt_h5_put_int(h5, "step", meta->step));
  RT_TRY(rt_h5_put_int(h5, "consumed", meta->consumed));
  RT_TRY(rt_h5_put_int(h5, "tokens", meta->tokens));
  RT_TRY(rt_h5_put_int(h5, "skipped", meta->skipped));
  RT_TRY(rt_h5_put_int(h5, "rows", meta->rows));
  RT_TRY(rt_h5_put_int(h5, "rows_xxh3", (int64_t)meta->rows_xxh3));
  RT_TRY(rt_h5_put_real(h5, "norm_mean", meta->norm_mean));
  RT_TRY(rt_h5_put_text(h5, "origin", meta->origin));
  RT_TRY(rt_h5_put_text(h5, "teacher", meta->teacher));
  RT_TRY(rt_h5_put_text(h5, "tokenizer", meta->tokenizer));
  RT_TRY(write_text(h5, "deck", meta->deck ? meta->deck : ""));
  return write_text(h5, "config", meta->arch ? meta->arch : "");
}

/** Declare a tensor, and store its extent in \a where. */
static rt_err place_tensor(rt_h5 *h5, const rt_slab *slab, rt_dtype dtype,
                           rt_extent *where)
{
  const rt_h5_shape shape = {
      .dtype = dtype, .n_dims = 2, .rows = slab->rows, .cols = slab->cols};
  rt_extent *extents;
  int64_t n;
  RT_TRY(rt_h5_declare(h5, slab->name, &shape));
  RT_TRY(rt_h5_extents(h5, slab->name, &extents, &n));
  *where = n > 0 ? extents[0] : (rt_extent){0};
  free(extents);
  return RT_OK;
}

static int by_offset(const void *a, const void *b)
{
  const int64_t x = ((const rt_extent *)a)->offset,
                y = ((const rt_extent *)b)->offset;
  return (x > y) - (x < y);
}

/** Lay out everything except the tensors' data; their extents go to \a
 *  p->where. */
static rt_err lay_out(rt_h5 **h5, const rt_checkpoint_meta *meta, const plan *p,
                      rt_outfile *to)
{
  RT_TRY(write_meta(*h5, meta));
  for (int i = 0; i < p->n; i++)
    RT_TRY(
        place_tensor(*h5, &p->slabs[i], (rt_dtype)p->dtypes[i], &p->where[i]));
  const size_t bytes = (size_t)p->n * sizeof *p->where;
  rt_extent *const sorted = malloc(bytes + 1);
  RT_CHECK(sorted != NULL, RT_ERR_MEM, "the places of %d tensors", p->n);
  memcpy(sorted, p->where, bytes);
  qsort(sorted, (size_t)p->n, sizeof *sorted, by_offset);
  const rt_err err = rt_h5_save(h5, sorted, p->n, to);
  free(sorted);
  return err;
}

/** Create the file with everything except the tensors' data.  Rank 0. */
static rt_err create_file(const char *path, const rt_checkpoint_meta *meta,
                          const plan *p)
{
  rt_h5 *h5 = NULL;
  rt_outfile *to = NULL;
  rt_err err = rt_h5_create(path, &h5);
  if (err == RT_OK)
    err = rt_outfile_create(path, &to);
  if (err == RT_OK)
    err = lay_out(&h5, meta, p, to);
  rt_h5_close(&h5); // the layout has been saved
  return rt_outfile_finish(err, &to);
}

/** Write a part to its offset: row by row, unless it consists of contiguous
 *  whole rows. */
static rt_err put_slab(rt_outfile *to, const rt_slab *s, int64_t offset)
{
  const int64_t size = (int64_t)rt_dtype_size(s->data.dtype);
  const int64_t cols = s->data.cols, ld = s->data.ld;
  const bool whole = cols == s->cols && cols == ld;
  const int64_t n = whole && s->data.rows > 0 ? 1 : s->data.rows;
  const int64_t bytes = (whole ? s->data.rows : 1) * cols * size;
  for (int64_t r = 0; r < n; r++)
    RT_TRY(rt_outfile_put_at(
        to, (const char *)s->data.data + r * ld * size, (size_t)bytes,
        offset + ((s->row0 + r) * s->cols + s->col0) * size));
  return RT_OK;
}

/** Write this rank's parts to the file that rank 0 has created. */
static rt_err put_slabs(const char *path, const plan *p)
{
  rt_outfile *to;
  RT_TRY(rt_outfile_open(path, &to));
  rt_err err = RT_OK;
  for (int i = 0; err == RT_OK && i < p->n; i++)
    err = put_slab(to, &p->slabs[i], p->where[i].offset);
  return rt_outfile_finish(err, &to);
}

/** Each rank writes independently, then all agree on the outcome; no rank waits
 *  for another while writing. */
static rt_err write_file(MPI_Comm comm, const char *path,
                         const rt_checkpoint_meta *meta, const plan *p)
{
  int rank;
  RT_TRY_MPI(MPI_Comm_rank(comm, &rank));
  rt_err err = rank == 0 ? create_file(path, meta, p) : RT_OK;
  RT_TRY(rt_group_agree(comm, err));
  RT_TRY(rt_group_bcast(comm, p->where, (size_t)p->n * sizeof *p->where));
  return rt_group_agree(comm, put_slabs(path, p));
}

/** Rename the finished folder; an older one of the same step is removed
 *  afterwards.  After an error remove \a tmp, which takes space that may be
 *  needed.  Rank 0. */
static rt_err conclude(rt_err err, const char *folder, const char *tmp,
                       int64_t step)
{
  char path[RT_PATH_MAX], old[RT_PATH_MAX];
  RT_TRY(rt_checkpoint_path(path, folder, "", step, ""));
  RT_TRY(rt_checkpoint_path(old, folder, ".tmp-old-", step, ""));
  if (err == RT_OK)
    err = rt_path_remove(old);
  if (err == RT_OK && rt_path_exists(path))
    err = rt_path_publish(path, old);
  RT_TRY(rt_path_conclude(err, tmp, path));
  return rt_path_remove(old);
}

/** Determine the temporary folder \a tmp and the file \a path in it, on every
 *  rank. */
static rt_err name_draft(MPI_Comm comm, const char *folder, int64_t step,
                         char tmp[RT_PATH_MAX], char path[RT_PATH_MAX])
{
  char name[RT_PATH_MAX];
  rt_err err = rt_checkpoint_path(name, folder, RT_CHECKPOINT_TMP, step, "");
  if (err == RT_OK)
    err = rt_path_draft(tmp, name); // all ranks use rank 0's name
  RT_TRY(rt_group_agree(comm, err));
  RT_TRY(rt_group_bcast(comm, tmp, RT_PATH_MAX));
  return rt_path_join(path, tmp, "state.h5");
}

/** Add the space needed and free to the error. */
static rt_err say_needs(rt_err err, const char *folder, int64_t bytes)
{
  int64_t room = 0;
  char text[1024];
  snprintf(text, sizeof text, "%s", rt_err_text());
  if (err != RT_ERR_IO || rt_disk_free(folder, &room) != RT_OK)
    return err == RT_OK ? RT_OK : RT_FAIL(err, "%s", text);
  return RT_FAIL(err,
                 "%s; the checkpoint needs %.1f MiB in %s, %.1f MiB are free; "
                 "those before it are kept",
                 text, (double)bytes / 1048576, folder, (double)room / 1048576);
}

static rt_err write_checkpoint(MPI_Comm comm, const char *folder,
                               const rt_checkpoint_meta *meta, const plan *p)
{
  char tmp[RT_PATH_MAX], path[RT_PATH_MAX];
  int rank;
  RT_TRY_MPI(MPI_Comm_rank(comm, &rank));
  RT_TRY(name_draft(comm, folder, meta->step, tmp, path));
  rt_err err = rank == 0 ? prepare(folder, tmp, p) : RT_OK;
  RT_TRY(rt_group_agree(comm, err));
  err = write_file(comm, path, meta, p);
  if (err == RT_OK)
    err = rt_seal_write(comm, path, NULL, 0, RT_SEAL_BLOCKS);
  if (rank == 0)
    err = conclude(err, folder, tmp, meta->step);
  err = rt_group_agree(comm, err);
  return say_needs(err, folder, bytes_of(p));
}

static rt_err plan_write(MPI_Comm comm, int64_t step, plan *p)
{
  const size_t n = (size_t)p->n;
  p->dtypes = calloc(2 * n + 1, sizeof *p->dtypes);
  p->where = calloc(n + 1, sizeof *p->where);
  p->elements = calloc(n + 1, sizeof *p->elements);
  rt_err err = p->elements == NULL || p->dtypes == NULL || p->where == NULL
                   ? RT_FAIL(RT_ERR_MEM, "a list of %zu tensors", n)
                   : check_pieces(p->slabs, p->n);
  RT_TRY(rt_group_agree(comm, err));
  return check_together(comm, step, p);
}

rt_err rt_checkpoint_write(MPI_Comm comm, const char *folder,
                           const rt_checkpoint_meta *meta, const rt_slab *slabs,
                           int n_slabs)
{
  plan p = {.slabs = slabs, .n = n_slabs};
  rt_err err = plan_write(comm, meta->step, &p);
  if (err == RT_OK)
    err = write_checkpoint(comm, folder, meta, &p);
  free(p.elements);
  free(p.dtypes);
  free(p.where);
  RT_TRY(err);
  return RT_OK;
}
