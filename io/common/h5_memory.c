/** \file h5_memory.c
 *  An HDF5 file driver for a file in memory.  HDF5's own driver for files
 *  cannot be used, as it requires a real path.  HDF5 1.10 ignores errors of a
 *  driver, or crashes later, so this driver reports none to HDF5; the caller
 *  gets them. */
#include "io/common/h5_memory.h"

#if __has_include("H5FDdevelop.h") // from HDF5 1.13 on
#include <H5FDdevelop.h>
#endif
#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/** The driver's part of a file access property list. */
typedef struct memory_info {
  rt_h5_memory *m; // borrowed
} memory_info;

typedef struct memory_file {
  H5FD_t pub;      // HDF5 requires its part first
  rt_h5_memory *m; // borrowed
} memory_file;

static rt_h5_memory *memory_of(const H5FD_t *file)
{
  return ((const memory_file *)file)->m;
}

static H5FD_t *open_file(const char *name, unsigned flags, hid_t fapl,
                         haddr_t max)
{
  (void)name, (void)flags, (void)max;
  const memory_info *const info = H5Pget_driver_info(fapl);
  memory_file *const f = info != NULL ? calloc(1, sizeof *f) : NULL;
  if (f == NULL)
    return NULL;
  f->m = info->m;
  return &f->pub;
}

static herr_t close_file(H5FD_t *file)
{
  free(file);
  return 0;
}

/** Flags that give the same file layout as HDF5's default driver. */
static herr_t query(const H5FD_t *file, unsigned long *flags)
{
  (void)file;
  *flags = H5FD_FEAT_AGGREGATE_METADATA | H5FD_FEAT_AGGREGATE_SMALLDATA |
           H5FD_FEAT_DEFAULT_VFD_COMPATIBLE;
  return 0;
}

static haddr_t get_end(const H5FD_t *file, H5FD_mem_t type)
{
  (void)type;
  return (haddr_t)memory_of(file)->end;
}

static herr_t set_end(H5FD_t *file, H5FD_mem_t type, haddr_t end)
{
  (void)type;
  memory_of(file)->end = (int64_t)end;
  return 0;
}

static haddr_t get_size(const H5FD_t *file, H5FD_mem_t type)
{
  struct stat s;
  (void)type;
  return fstat(memory_of(file)->fd, &s) == 0 ? (haddr_t)s.st_size : HADDR_UNDEF;
}

static herr_t read_file(H5FD_t *file, H5FD_mem_t type, hid_t dxpl,
                        haddr_t offset, size_t n, void *to)
{
  (void)type, (void)dxpl;
  char *at = to;
  while (n > 0) {
    const ssize_t r = pread(memory_of(file)->fd, at, n, (off_t)offset);
    if (r < 0 && errno == EINTR)
      continue;
    if (r < 0)
      return -1;
    if (r == 0) { // beyond the bytes written so far
      memset(at, 0, n);
      break;
    }
    at += r;
    offset += (haddr_t)r;
    n -= (size_t)r;
  }
  return 0;
}

static herr_t write_file(H5FD_t *file, H5FD_mem_t type, hid_t dxpl,
                         haddr_t offset, size_t n, const void *from)
{
  (void)type, (void)dxpl;
  rt_h5_memory *const m = memory_of(file);
  const char *at = from;
  while (n > 0 && m->reason == 0) {
    const ssize_t w = pwrite(m->fd, at, n, (off_t)offset);
    if (w < 0 && errno == EINTR)
      continue;
    if (w <= 0)
      m->reason = w < 0 ? errno : ENOSPC;
    at += w > 0 ? w : 0;
    offset += w > 0 ? (haddr_t)w : 0;
    n -= w > 0 ? (size_t)w : 0;
  }
  return 0;
}

herr_t rt_h5_memory_use(hid_t fapl, rt_h5_memory *m)
{
  static const H5FD_class_t driver = {
#ifdef H5FD_CLASS_VERSION
      .version = H5FD_CLASS_VERSION,
      .value = 513, // one of the numbers for private use
#endif
      .name = "retort_memory",
      .maxaddr = INT64_MAX,
      .fc_degree = H5F_CLOSE_WEAK,
      .fapl_size = sizeof(memory_info),
      .open = open_file,
      .close = close_file,
      .query = query,
      .get_eoa = get_end,
      .set_eoa = set_end,
      .get_eof = get_size,
      .read = read_file,
      .write = write_file,
      .fl_map = H5FD_FLMAP_DICHOTOMY,
  };
  const hid_t id = H5FDregister(&driver);
  if (id < 0)
    return -1;
  // kept until the file is closed: H5FD_close releases the file's reference to
  // the driver, and only then calls it
  m->driver = id;
  return H5Pset_driver(fapl, id, &(memory_info){m});
}

void rt_h5_memory_leave(rt_h5_memory *m)
{
  if (m->driver > 0)
    H5FDunregister(m->driver);
  m->driver = 0;
}
