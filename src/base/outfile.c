/** \file outfile.c
 *  Output files that are verified by reading them back, so that a write lost by
 *  a library, a file system or a disk is detected while its data still exists.
 */
#include "base/outfile.h"

#include "base/file.h"
#include "base/hash.h"
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/** Maximum size of a piece, and of the buffer for reading back. */
static const size_t piece_bytes = (size_t)1 << 20;

/** Ranges of the file, rows of a matrix or one, and the hash of what was
 * written there. */
typedef struct piece {
  int64_t offset, stride; // of the first range, from one to the next
  size_t bytes;           // of each, <= piece_bytes
  int64_t n;              // ranges
  uint64_t hash;          // of their hashes
} piece;

struct rt_outfile {
  int fd;
  piece *piece; // owned [n <= room]
  size_t n, room;
  char *tail; // owned [piece_bytes]: appended bytes, n_tail of them, not
              // written yet
  size_t n_tail;
  int64_t end;              // where the tail belongs
  const _Atomic bool *stop; // borrowed; NULL: never
  char path[];
};

static rt_err open_as(const char *path, int flags, rt_outfile **out)
{
  *out = NULL;
  rt_outfile *const f = calloc(1, sizeof *f + strlen(path) + 1);
  RT_CHECK(f != NULL, RT_ERR_MEM, "%zu bytes to write %s", sizeof *f, path);
  strcpy(f->path, path);
  const rt_err err = rt_file_open_output(path, O_RDWR | flags, &f->fd);
  if (err != RT_OK) {
    free(f);
    return rt_err_forward(err, __FILE__, __LINE__);
  }
  *out = f;
  return RT_OK;
}

rt_err rt_outfile_create(const char *path, rt_outfile **out)
{
  return open_as(path, O_CREAT | O_TRUNC, out);
}

rt_err rt_outfile_open(const char *path, rt_outfile **out)
{
  return open_as(path, 0, out);
}

void rt_outfile_heed(rt_outfile *f, const _Atomic bool *stop)
{
  f->stop = stop;
}

static rt_err go_on(const rt_outfile *f)
{
  RT_CHECK(f->stop == NULL || !atomic_load(f->stop), RT_ERR_STOPPED,
           "%s is given up", f->path);
  return RT_OK;
}

/** Add a range to the hash of those before it. */
static uint64_t hash_more(uint64_t hash, const void *data, size_t n)
{
  const uint64_t both[] = {hash, rt_hash_xxh3(data, n)};
  return rt_hash_xxh3(both, sizeof both);
}

static rt_err remember(rt_outfile *f, const piece *p)
{
  if (f->n == f->room) {
    const size_t room = 2 * f->room + 16;
    piece *const more = realloc(f->piece, room * sizeof *more);
    RT_CHECK(more != NULL, RT_ERR_MEM, "hashes of %zu pieces of %s", room,
             f->path);
    f->piece = more;
    f->room = room;
  }
  f->piece[f->n++] = *p;
  return RT_OK;
}

rt_err rt_outfile_put_at(rt_outfile *f, const void *data, size_t n,
                         int64_t offset)
{
  for (size_t done = 0; done < n;) {
    const size_t size = n - done < piece_bytes ? n - done : piece_bytes;
    const piece p = {.offset = offset + (int64_t)done,
                     .bytes = size,
                     .n = 1,
                     .hash = hash_more(0, (const char *)data + done, size)};
    RT_TRY(remember(f, &p));
    done += size;
  }
  return rt_file_write_at(f->fd, f->path, data, n, offset);
}

rt_err rt_outfile_put_rows(rt_outfile *f, const rt_outfile_rows *x)
{
  const size_t bytes = (size_t)x->row_bytes;
  const bool whole = x->row_bytes == x->stride && x->stride == x->file_stride;
  if (whole)
    return rt_outfile_put_at(f, x->data, (size_t)x->n_rows * bytes, x->offset);
  piece p = {.bytes = bytes, .stride = x->file_stride};
  for (int64_t i = 0; i < x->n_rows; i++) {
    const char *const row = (const char *)x->data + i * x->stride;
    const int64_t offset = x->offset + i * x->file_stride;
    if (bytes > piece_bytes) {
      RT_TRY(rt_outfile_put_at(f, row, bytes, offset));
      continue;
    }
    RT_TRY(go_on(f));
    if (p.n == 0)
      p.offset = offset;
    p.hash = hash_more(p.n > 0 ? p.hash : 0, row, bytes);
    p.n++;
    RT_TRY(rt_file_write_at(f->fd, f->path, row, bytes, offset));
    if ((size_t)p.n * bytes >= piece_bytes || i + 1 == x->n_rows) {
      RT_TRY(remember(f, &p));
      p.n = 0;
    }
  }
  return RT_OK;
}

static rt_err put_tail(rt_outfile *f)
{
  RT_TRY(rt_outfile_put_at(f, f->tail, f->n_tail, f->end));
  f->end += (int64_t)f->n_tail;
  f->n_tail = 0;
  return RT_OK;
}

rt_err rt_outfile_append(rt_outfile *f, const void *data, size_t n)
{
  if (f->tail == NULL)
    f->tail = malloc(piece_bytes);
  RT_CHECK(f->tail != NULL, RT_ERR_MEM, "%zu bytes to write %s", piece_bytes,
           f->path);
  for (size_t done = 0; done < n;) {
    const size_t left = piece_bytes - f->n_tail;
    const size_t size = n - done < left ? n - done : left;
    memcpy(f->tail + f->n_tail, (const char *)data + done, size);
    f->n_tail += size;
    done += size;
    if (f->n_tail == piece_bytes)
      RT_TRY(put_tail(f));
  }
  return RT_OK;
}

void rt_outfile_seek(rt_outfile *f, int64_t offset)
{
  RT_ASSERT(f->end == 0 && f->n_tail == 0);
  f->end = offset;
}

rt_err rt_outfile_resize(rt_outfile *f, int64_t bytes)
{
  return rt_file_cut(f->fd, f->path, bytes);
}

static rt_err read_piece(const rt_outfile *f, const piece *p, void *got)
{
  uint64_t hash = 0;
  rt_err err = RT_OK;
  for (int64_t i = 0; i < p->n && err == RT_OK; i++) {
    err = rt_file_read_at(f->fd, f->path, got, p->bytes,
                          p->offset + i * p->stride);
    if (err == RT_OK)
      hash = hash_more(hash, got, p->bytes);
  }
  RT_CHECK(err == RT_OK && hash == p->hash, RT_ERR_IO,
           "%s: bytes %" PRId64 "..%" PRId64 " do not read back as they were "
           "written%s%s: the disk or its file system lost them; see to it "
           "and run again",
           f->path, p->offset,
           p->offset + (p->n - 1) * p->stride + (int64_t)p->bytes,
           err == RT_OK ? "" : ": ", err == RT_OK ? "" : rt_err_text());
  return RT_OK;
}

static rt_err read_back(const rt_outfile *f, void *got)
{
  for (size_t i = 0; i < f->n; i++) {
    RT_TRY(go_on(f));
    RT_TRY(read_piece(f, &f->piece[i], got));
  }
  return RT_OK;
}

static rt_err prove(rt_outfile *f)
{
  if (f->n_tail > 0)
    RT_TRY(put_tail(f));
  RT_TRY(go_on(f));
  RT_TRY(rt_file_flush(f->fd, f->path));
  void *const got = malloc(piece_bytes);
  RT_CHECK(got != NULL, RT_ERR_MEM, "%zu bytes to read %s back", piece_bytes,
           f->path);
  const rt_err err = read_back(f, got);
  free(got);
  return err;
}

void rt_outfile_drop(rt_outfile **out)
{
  rt_outfile *const f = *out;
  *out = NULL;
  if (f == NULL)
    return;
  if (f->fd >= 0)
    close(f->fd);
  free(f->piece);
  free(f->tail);
  free(f);
}

rt_err rt_outfile_finish(rt_err err, rt_outfile **out)
{
  rt_outfile *const f = *out;
  if (f == NULL)
    return err;
  if (err == RT_OK)
    err = prove(f);
  if (err == RT_OK) {
    err = rt_file_close(f->fd, f->path);
    f->fd = -1;
  }
  rt_outfile_drop(out); // after an error, the first is the one to report
  return err == RT_OK ? RT_OK : rt_err_forward(err, __FILE__, __LINE__);
}
