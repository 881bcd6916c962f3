/** \file checkpoint_write.c
 *  Writes a checkpoint: one HDF5 file, laid out by one rank, written by all,
 *  sealed, renamed.  A thread of each rank may do the two long parts, writing
 *  tensors and hashing for the seal; all the rest is done by the main thread.
 */
#include "io/run/checkpoint_parts.h"

#include "base/hash.h"
#include "base/log.h"
#include "base/outfile.h"
#include "io/common/h5.h"
#include "io/common/ranks.h"
#include "io/common/seal.h"
#include <limits.h>
#include <stdatomic.h>
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

struct rt_checkpoint_writer {
  MPI_Comm comm; // borrowed
  int rank;
  int64_t step;
  plan p;
  rt_worker *worker;   // borrowed; NULL: the main thread does the work
  rt_outfile *to;      // owned while tensors are written; for rank 0 it begins
                       // when the file is laid out
  rt_sealing *sealing; // owned; NULL: tensors are being written
  rt_err done;         // result of the main thread's work
  _Atomic bool stop;   // a peer has failed: write no more
  char folder[RT_PATH_MAX], tmp[RT_PATH_MAX], path[RT_PATH_MAX];
};

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

/** Check free space, once what killed runs left is gone, and create an empty
 *  temporary folder.  Rank 0. */
static rt_err prepare(const char *folder, const char *tmp, const plan *p)
{
  const int64_t bytes = bytes_of(p);
  int64_t room;
  RT_TRY(rt_folder_create(folder));
  if (rt_checkpoint_sweep(folder) != RT_OK)
    rt_err_clear(); // it only takes room; pruning says it
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

/** Create the file with everything except the tensors' data; it stays open in
 *  \a w.  Rank 0. */
static rt_err create_file(rt_checkpoint_writer *w,
                          const rt_checkpoint_meta *meta)
{
  rt_h5 *h5 = NULL;
  rt_err err = rt_h5_create(w->path, &h5);
  if (err == RT_OK)
    err = rt_outfile_create(w->path, &w->to);
  if (err == RT_OK)
    err = lay_out(&h5, meta, &w->p, w->to);
  rt_h5_close(&h5); // the layout has been saved
  return err == RT_OK ? RT_OK : rt_outfile_finish(err, &w->to);
}

/** Write a run of \a bytes in pieces, after each of which the writer may be
 *  told to stop. */
static rt_err put_run(rt_checkpoint_writer *w, const char *data, int64_t bytes,
                      int64_t offset)
{
  const int64_t piece = (int64_t)1 << 24;
  for (int64_t done = 0; done < bytes && !atomic_load(&w->stop);
       done += piece) {
    const int64_t left = bytes - done, n = left < piece ? left : piece;
    RT_TRY(rt_outfile_put_at(w->to, data + done, (size_t)n, offset + done));
  }
  return RT_OK;
}

/** Write a part to its offset: row by row, unless it consists of contiguous
 *  whole rows. */
static rt_err put_slab(rt_checkpoint_writer *w, const rt_slab *s,
                       int64_t offset)
{
  const rt_view *const v = &s->data;
  const int64_t size = (int64_t)rt_dtype_size(v->dtype);
  const int64_t at = offset + (s->row0 * s->cols + s->col0) * size;
  if (v->cols == s->cols && v->cols == v->ld)
    return put_run(w, v->data, v->rows * v->cols * size, at);
  const rt_outfile_rows rows = {.data = v->data,
                                .n_rows = v->rows,
                                .row_bytes = v->cols * size,
                                .stride = v->ld * size,
                                .offset = at,
                                .file_stride = s->cols * size};
  return rt_outfile_put_rows(w->to, &rows);
}

/** Write this rank's parts to the file that rank 0 has laid out, and read them
 *  back.  No rank waits for another meanwhile. */
static rt_err put_slabs(void *self)
{
  rt_checkpoint_writer *const w = self;
  rt_err err = w->to != NULL ? RT_OK : rt_outfile_open(w->path, &w->to);
  if (err == RT_OK)
    rt_outfile_heed(w->to, &w->stop);
  for (int i = 0; err == RT_OK && i < w->p.n; i++)
    err = put_slab(w, &w->p.slabs[i], w->p.where[i].offset);
  err = rt_outfile_finish(err, &w->to);
  return err == RT_ERR_STOPPED ? RT_OK : err; // the failed peer has the error
}

static rt_err hash_share(void *self)
{
  const rt_err err = rt_sealing_hash(((rt_checkpoint_writer *)self)->sealing);
  return err == RT_ERR_STOPPED ? RT_OK : err;
}

/** Rename the finished folder; an older one of the same step is removed
 *  afterwards.  After an error remove \a tmp, which takes space that may be
 *  needed, and keep the older one.  Rank 0. */
static rt_err conclude(rt_err err, const char *folder, const char *tmp,
                       int64_t step)
{
  char path[RT_PATH_MAX], old[RT_PATH_MAX];
  RT_TRY(rt_checkpoint_path(path, folder, "", step, ""));
  RT_TRY(rt_checkpoint_path(old, folder, RT_CHECKPOINT_OLD, step, ""));
  const bool again = rt_path_exists(path);
  if (err == RT_OK && again)
    err = rt_path_remove(old);
  if (err == RT_OK && again)
    err = rt_path_publish(path, old);
  err = rt_path_conclude(err, tmp, path);
  if (err == RT_OK)
    return rt_path_remove(old);
  rt_err_keep();
  if (again && !rt_path_exists(path) && rt_path_publish(old, path) != RT_OK)
    rt_warn("%s is left over: %s", old, rt_err_text());
  return rt_err_restore(err);
}

/** Determine the temporary folder and the file in it, on every rank. */
static rt_err name_draft(rt_checkpoint_writer *w)
{
  char name[RT_PATH_MAX];
  rt_err err =
      rt_checkpoint_path(name, w->folder, RT_CHECKPOINT_TMP, w->step, "");
  if (err == RT_OK)
    err = rt_path_draft(w->tmp, name); // all ranks use rank 0's name
  RT_TRY(rt_group_agree(w->comm, err));
  RT_TRY(rt_group_bcast(w->comm, w->tmp, RT_PATH_MAX));
  return rt_path_join(w->path, w->tmp, "state.h5");
}

/** Publish the checkpoint if \a err, on which the ranks have agreed, is RT_OK;
 *  otherwise remove what was written. */
static rt_err publish(rt_err err, rt_checkpoint_writer *w)
{
  if (w->rank == 0)
    err = conclude(err, w->folder, w->tmp, w->step);
  err = rt_group_agree(w->comm, err);
  return rt_disk_needs(err, w->folder, "the checkpoint", bytes_of(&w->p));
}

static rt_err make_plan(const rt_checkpoint_spec *spec,
                        rt_checkpoint_writer **out)
{
  const size_t n = (size_t)spec->n_slabs;
  rt_checkpoint_writer *const w = calloc(1, sizeof *w);
  *out = w;
  RT_CHECK(w != NULL, RT_ERR_MEM, "a writer of checkpoints");
  w->comm = spec->comm;
  w->step = spec->meta->step;
  w->worker = spec->worker;
  plan *const p = &w->p;
  *p = (plan){.slabs = spec->slabs, .n = spec->n_slabs};
  p->dtypes = calloc(2 * n + 1, sizeof *p->dtypes);
  p->where = calloc(n + 1, sizeof *p->where);
  p->elements = calloc(n + 1, sizeof *p->elements);
  RT_CHECK(p->elements != NULL && p->dtypes != NULL && p->where != NULL,
           RT_ERR_MEM, "a list of %zu tensors", n);
  RT_CHECK(strlen(spec->folder) < sizeof w->folder, RT_ERR_CONFIG,
           "path is too long: %.80s...", spec->folder);
  strcpy(w->folder, spec->folder);
  RT_TRY_MPI(MPI_Comm_rank(spec->comm, &w->rank));
  return check_pieces(spec->slabs, spec->n_slabs);
}

/** Lay out the file, in which all ranks then know their places. */
static rt_err begin_file(rt_checkpoint_writer *w,
                         const rt_checkpoint_meta *meta)
{
  RT_TRY(check_together(w->comm, w->step, &w->p));
  RT_TRY(name_draft(w));
  rt_err err = w->rank == 0 ? prepare(w->folder, w->tmp, &w->p) : RT_OK;
  RT_TRY(rt_group_agree(w->comm, err));
  err = w->rank == 0 ? create_file(w, meta) : RT_OK;
  err = rt_group_agree(w->comm, err);
  if (err == RT_OK)
    err = rt_group_bcast(w->comm, w->p.where,
                         (size_t)w->p.n * sizeof *w->p.where);
  if (err == RT_OK)
    return RT_OK;
  rt_outfile_drop(&w->to);
  return publish(err, w);
}

static void start(rt_checkpoint_writer *w, rt_work_fn *fn)
{
  if (w->worker != NULL)
    rt_worker_start(w->worker, fn, w);
  else
    w->done = fn(w);
}

rt_err rt_checkpoint_begin(const rt_checkpoint_spec *spec,
                           rt_checkpoint_writer **out)
{
  rt_err err = rt_group_agree(spec->comm, make_plan(spec, out));
  if (err == RT_OK && *out != NULL)
    err = begin_file(*out, spec->meta);
  if (err != RT_OK || *out == NULL) {
    rt_checkpoint_abandon(out);
    return rt_err_forward(err, __FILE__, __LINE__);
  }
  start(*out, put_slabs);
  return RT_OK;
}

rt_checkpoint_state rt_checkpoint_poll(const rt_checkpoint_writer *w)
{
  if (w == NULL || w->worker == NULL)
    return RT_CHECKPOINT_READY;
  if (rt_worker_busy(w->worker))
    return RT_CHECKPOINT_WRITES;
  return rt_worker_failed(w->worker) ? RT_CHECKPOINT_FAILED
                                     : RT_CHECKPOINT_READY;
}

/** Go on after the work, on whose result \a err the ranks have agreed. */
static rt_err go_on(rt_err err, rt_checkpoint_writer *w, bool *published)
{
  if (w->sealing != NULL) {
    err = publish(rt_sealing_finish(err, &w->sealing), w);
    *published = err == RT_OK;
    return err;
  }
  const rt_seal_spec spec = {.comm = w->comm,
                             .path = w->path,
                             .hashes = RT_SEAL_BLOCKS,
                             .stop = &w->stop};
  if (err == RT_OK)
    err = rt_sealing_begin(&spec, &w->sealing);
  if (err != RT_OK)
    return publish(err, w);
  start(w, hash_share);
  return RT_OK;
}

rt_err rt_checkpoint_go_on(rt_checkpoint_writer **out, bool *published)
{
  rt_checkpoint_writer *const w = *out;
  *published = false;
  // called although this rank still writes: a peer has failed
  if (rt_checkpoint_poll(w) == RT_CHECKPOINT_WRITES)
    atomic_store(&w->stop, true);
  rt_err err = w->worker != NULL ? rt_worker_wait(w->worker) : w->done;
  // disks differ, and training survives the error
  err = rt_agree_ranks(w->comm, err, RT_LATE, RT_HERE);
  err = go_on(err, w, published);
  if (err != RT_OK || *published)
    rt_checkpoint_abandon(out);
  return err == RT_OK ? RT_OK : rt_err_forward(err, __FILE__, __LINE__);
}

rt_err rt_checkpoint_finish(rt_checkpoint_writer **w)
{
  while (*w != NULL) {
    bool published;
    if ((*w)->worker != NULL)
      rt_worker_rest((*w)->worker);
    RT_TRY(rt_checkpoint_go_on(w, &published));
  }
  return RT_OK;
}

void rt_checkpoint_abandon(rt_checkpoint_writer **out)
{
  rt_checkpoint_writer *const w = *out;
  *out = NULL;
  if (w == NULL)
    return;
  atomic_store(&w->stop, true);
  if (w->worker != NULL)
    rt_worker_forget(w->worker);
  rt_outfile_drop(&w->to);
  rt_sealing_drop(&w->sealing);
  free(w->p.elements);
  free(w->p.dtypes);
  free(w->p.where);
  free(w);
}

rt_err rt_checkpoint_write(MPI_Comm comm, const char *folder,
                           const rt_checkpoint_meta *meta, const rt_slab *slabs,
                           int n_slabs)
{
  const rt_checkpoint_spec spec = {.comm = comm,
                                   .folder = folder,
                                   .meta = meta,
                                   .slabs = slabs,
                                   .n_slabs = n_slabs};
  rt_checkpoint_writer *w;
  RT_TRY(rt_checkpoint_begin(&spec, &w));
  return rt_checkpoint_finish(&w);
}
