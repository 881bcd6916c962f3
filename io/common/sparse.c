/** \file sparse.c */
#include "io/common/sparse.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

/** A copy operation. */
typedef struct copy {
  int fd;
  const char *path;     // borrowed
  const rt_extent *raw; // borrowed [n_raw]
  int64_t n_raw;
  rt_outfile *to; // borrowed
} copy;

/** Copy bytes [begin, end). */
static rt_err save_bytes(const copy *c, int64_t begin, int64_t end)
{
  char part[1 << 16];
  while (begin < end) {
    const int64_t left = end - begin;
    const size_t n = left < (int64_t)sizeof part ? (size_t)left : sizeof part;
    RT_TRY(rt_file_read_at(c->fd, c->path, part, n, begin));
    RT_TRY(rt_outfile_put_at(c->to, part, n, begin));
    begin += (int64_t)n;
  }
  return RT_OK;
}

/** The same, except for raw extents. */
static rt_err save_segment(const copy *c, int64_t begin, int64_t end)
{
  for (int64_t i = 0; i < c->n_raw && begin < end; i++) {
    const rt_extent *const raw = &c->raw[i];
    if (raw->offset + raw->bytes <= begin || raw->offset >= end)
      continue;
    RT_TRY(save_bytes(c, begin, raw->offset));
    begin = raw->offset + raw->bytes;
  }
  return save_bytes(c, begin, end);
}

rt_err rt_sparse_save(int fd, const char *path, const rt_extent *raw,
                      int64_t n_raw, rt_outfile *to)
{
  const copy c = {fd, path, raw, n_raw, to};
  const off_t bytes = lseek(fd, 0, SEEK_END);
  RT_CHECK(bytes >= 0, RT_ERR_IO, "cannot look at the layout of %s: %s", path,
           strerror(errno));
  for (off_t at = 0; at < bytes;) {
    const off_t begin = lseek(fd, at, SEEK_DATA);
    if (begin < 0 && errno == ENXIO)
      break; // the rest is a hole
    const off_t end = begin < 0 ? -1 : lseek(fd, begin, SEEK_HOLE);
    RT_CHECK(end >= 0, RT_ERR_IO, "cannot look at the layout of %s: %s", path,
             strerror(errno));
    RT_TRY(save_segment(&c, begin, end));
    at = end;
  }
  return RT_OK;
}
