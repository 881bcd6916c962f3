/** \file file.c
 *  POSIX file operations whose errors name the path and the reason. */
#include "base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

/** Error code for a failed input, from errno. */
static rt_err input_error(int reason)
{
  switch (reason) {
  case ENOENT:
  case ENOTDIR:
  case EISDIR:
  case ELOOP:
  case ENAMETOOLONG:
  case ENXIO:
  case ENODEV:
    return RT_ERR_NOINPUT; // missing, or not a regular file
  case EACCES:
  case EPERM:
    return RT_ERR_PERM;
  case ENOMEM:
    return RT_ERR_MEM;
  default: // the file may be there, and whole: EIO, EMFILE, ESTALE, ETIMEDOUT
    return RT_ERR_IO;
  }
}

/** Error code for a failed output, from errno. */
static rt_err output_error(int reason)
{
  switch (reason) {
  case EACCES:
  case EPERM:
  case EROFS:
    return RT_ERR_PERM;
  case ENOENT:
  case ENOTDIR:
  case EISDIR:
  case EEXIST:
    return RT_ERR_LOCKED; // "cannot create"
  default:
    return RT_ERR_IO; // disk full, quota, a broken disk
  }
}

/** What a user can do about an errno. */
static const char *remedy_of(int reason)
{
  switch (reason) {
  case EMFILE:
    return "; raise the number of open files of a process (ulimit -n)";
  case ENFILE:
    return "; this host has too many open files";
  case ESTALE:
  case ETIMEDOUT:
    return "; run again when the file server answers";
  case EACCES:
    return "; let this user read it, and enter its folders, on every host";
  default:
    return "";
  }
}

/** Text of an errno.  If a symbolic link is dangling, name its target. */
static const char *reason_of(const char *path, int reason,
                             char text[RT_PATH_MAX + 64])
{
  char target[RT_PATH_MAX];
  const ssize_t n =
      reason == ENOENT ? readlink(path, target, sizeof target - 1) : -1;
  if (n < 0)
    snprintf(text, RT_PATH_MAX + 64, "%s%s", strerror(reason),
             remedy_of(reason));
  else
    snprintf(text, RT_PATH_MAX + 64, "it is a link to %.*s, which is not there",
             (int)n, target);
  return text;
}

#define CHECK_INPUT(condition, verb, path)                                     \
  do {                                                                         \
    char why[RT_PATH_MAX + 64];                                                \
    RT_CHECK(condition, input_error(errno), "cannot " verb " %s: %s", path,    \
             reason_of(path, errno, why));                                     \
  } while (0)
#define CHECK_OUTPUT(condition, verb, path)                                    \
  RT_CHECK(condition, output_error(errno), "cannot " verb " %s: %s", path,     \
           strerror(errno))

rt_err rt_path_join(char out[RT_PATH_MAX], const char *folder, const char *name)
{
  const size_t n = strlen(folder);
  const char *slash = n == 0 || folder[n - 1] == '/' ? "" : "/";
  const int used = snprintf(out, RT_PATH_MAX, "%s%s%s", folder, slash, name);
  RT_CHECK(used >= 0 && used < RT_PATH_MAX, RT_ERR_CONFIG,
           "path of %d bytes is too long, expected fewer than %d: %.80s.../%s; "
           "use a shorter folder",
           used, RT_PATH_MAX, folder, name);
  return RT_OK;
}

bool rt_path_exists(const char *path)
{
  struct stat s;
  return lstat(path, &s) == 0;
}

bool rt_file_exists(const char *path)
{
  struct stat s;
  return stat(path, &s) == 0 && S_ISREG(s.st_mode);
}

bool rt_folder_exists(const char *path)
{
  struct stat s;
  return stat(path, &s) == 0 && S_ISDIR(s.st_mode);
}

rt_err rt_file_size(const char *path, int64_t *bytes)
{
  struct stat s;
  CHECK_INPUT(stat(path, &s) == 0, "look at", path);
  RT_CHECK(S_ISREG(s.st_mode), RT_ERR_NOINPUT, "%s is not a regular file",
           path);
  *bytes = s.st_size;
  return RT_OK;
}

rt_err rt_file_size_of(int fd, const char *path, int64_t *bytes)
{
  struct stat s;
  CHECK_INPUT(fstat(fd, &s) == 0, "look at", path);
  *bytes = s.st_size;
  return RT_OK;
}

/** Read until the end of file or \a n bytes; a pipe may return less per call.
 */
static rt_err read_up_to(int fd, const char *path, char *to, size_t n,
                         size_t *got)
{
  *got = 0;
  while (*got < n) {
    const ssize_t r = read(fd, to + *got, n - *got);
    if (r == 0)
      break;
    if (r < 0 && errno == EINTR)
      continue;
    CHECK_INPUT(r > 0, "read", path);
    *got += (size_t)r;
  }
  return RT_OK;
}

static rt_err slurp(int fd, const char *path, size_t max_bytes, char **text,
                    size_t *n)
{
  struct stat s;
  CHECK_INPUT(fstat(fd, &s) == 0, "look at", path);
  size_t room = max_bytes; // pipes and /proc have no known size
  if (S_ISREG(s.st_mode) && s.st_size > 0 && (size_t)s.st_size < max_bytes)
    room = (size_t)s.st_size;
  // one byte to detect a larger file, and one for the terminating 0
  char *data = malloc(room + 2);
  RT_CHECK(data != NULL, RT_ERR_MEM, "%zu bytes to read %s", room + 2, path);
  *text = data;
  RT_TRY(read_up_to(fd, path, data, room + 1, n));
  RT_CHECK(*n <= max_bytes, RT_ERR_DATA,
           "%s is larger than the %zu bytes expected of such a file", path,
           max_bytes);
  RT_CHECK(*n <= room, RT_ERR_DATA, "%s grew while it was read", path);
  data[*n] = '\0';
  return RT_OK;
}

rt_err rt_file_open(const char *path, int *out)
{
  struct stat s;
  *out = -1;
  const int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  CHECK_INPUT(fd >= 0, "open", path);
  const int failed = fstat(fd, &s), reason = errno;
  const bool regular = failed == 0 && S_ISREG(s.st_mode);
  if (!regular)
    close(fd);
  errno = reason;
  CHECK_INPUT(failed == 0, "look at", path);
  RT_CHECK(regular, RT_ERR_NOINPUT, "%s is not a regular file", path);
  *out = fd;
  return RT_OK;
}

/** Read the whole of an open file, and close it. */
static rt_err slurp_and_close(int fd, const char *path, size_t max_bytes,
                              char **text, size_t *n)
{
  const rt_err err = slurp(fd, path, max_bytes, text, n);
  close(fd);
  if (err != RT_OK) {
    free(*text);
    *text = NULL;
    return rt_err_forward(err, __FILE__, __LINE__);
  }
  return RT_OK;
}

rt_err rt_file_slurp(const char *path, size_t max_bytes, char **text, size_t *n)
{
  int fd;
  *text = NULL;
  *n = 0;
  RT_TRY(rt_file_open(path, &fd));
  return slurp_and_close(fd, path, max_bytes, text, n);
}

rt_err rt_file_slurp_pipe(const char *path, size_t max_bytes, char **text,
                          size_t *n)
{
  *text = NULL;
  *n = 0;
  const int fd = open(path, O_RDONLY | O_CLOEXEC);
  CHECK_INPUT(fd >= 0, "open", path);
  return slurp_and_close(fd, path, max_bytes, text, n);
}

rt_err rt_file_read_at(int fd, const char *path, void *to, size_t n,
                       int64_t offset)
{
  size_t done = 0;
  while (done < n) {
    const ssize_t r =
        pread(fd, (char *)to + done, n - done, offset + (int64_t)done);
    if (r < 0 && errno == EINTR)
      continue;
    RT_CHECK(r >= 0, RT_ERR_IO,
             "cannot read %zu bytes at offset %lld of %s: %s", n - done,
             (long long)offset + (long long)done, path, strerror(errno));
    RT_CHECK(r > 0, RT_ERR_DATA,
             "%s is truncated: it ends at byte %lld, expected %zu bytes at "
             "offset %lld",
             path, (long long)offset + (long long)done, n, (long long)offset);
    done += (size_t)r;
  }
  return RT_OK;
}

rt_err rt_file_open_output(const char *path, int flags, int *fd)
{
  do
    *fd = open(path, flags | O_CLOEXEC, 0666);
  while (*fd < 0 && errno == EINTR);
  RT_CHECK(*fd >= 0, output_error(errno), "cannot %s %s: %s",
           (flags & O_CREAT) != 0 ? "create" : "open", path, strerror(errno));
  return RT_OK;
}

/** Record a failed output of \a needed bytes, with errno.  The message says how
 *  much space is needed and how much is free. */
static rt_err write_failed(int fd, const char *path, const char *what,
                           int64_t needed)
{
  const int reason = errno;
  struct statvfs s;
  char room[96] = "", why[160];
  if (fstatvfs(fd, &s) == 0)
    snprintf(room, sizeof room, "; %lld bytes are needed, %lld are free there",
             (long long)needed, (long long)s.f_bavail * (long long)s.f_frsize);
  return RT_FAIL(RT_ERR_IO, "cannot %s %s: %s%s", what, path,
                 rt_write_reason(reason, why), room);
}

rt_err rt_file_write_at(int fd, const char *path, const void *from, size_t n,
                        int64_t offset)
{
  for (size_t done = 0; done < n;) {
    const ssize_t w =
        pwrite(fd, (const char *)from + done, n - done, offset + (int64_t)done);
    if (w < 0 && errno == EINTR)
      continue;
    if (w == 0)
      errno = ENOSPC; // the only reason for which POSIX allows this
    if (w <= 0)
      return write_failed(fd, path, "write to", (int64_t)(n - done));
    done += (size_t)w;
  }
  return RT_OK;
}

rt_err rt_file_cut(int fd, const char *path, int64_t bytes)
{
  while (ftruncate(fd, (off_t)bytes) != 0)
    if (errno != EINTR)
      return write_failed(fd, path, "set the size of", bytes);
  return RT_OK;
}

/** True if \a reason says that fsync is not supported.  Some file systems
 *  cannot sync folders (FUSE, SMB, 9p); they keep the order of renames. */
static bool cannot_sync(int reason, mode_t mode)
{
  if (!S_ISDIR(mode))
    return reason == EINVAL;
  return reason == EINVAL || reason == EBADF || reason == ENOSYS ||
         reason == ENOTSUP || reason == EOPNOTSUPP || reason == EISDIR;
}

rt_err rt_file_flush(int fd, const char *path)
{
  while (fsync(fd) != 0) {
    const int reason = errno;
    struct stat s = {0};
    const bool known = fstat(fd, &s) == 0;
    if (known && cannot_sync(reason, s.st_mode))
      return RT_OK;
    errno = reason;
    if (reason != EINTR)
      return write_failed(fd, path, "flush to disk", (int64_t)s.st_size);
  }
  return RT_OK;
}

rt_err rt_file_close(int fd, const char *path)
{
  // after EINTR, Linux has closed the descriptor
  RT_CHECK(close(fd) == 0 || errno == EINTR, RT_ERR_IO, "cannot close %s: %s",
           path, strerror(errno));
  return RT_OK;
}

rt_err rt_path_sync(const char *path)
{
  int fd;
  RT_TRY(rt_file_open_output(path, O_RDONLY, &fd));
  const rt_err err = rt_file_flush(fd, path);
  close(fd);
  return err;
}

static rt_err map_file(int fd, const char *path, rt_map *out)
{
  struct stat s;
  CHECK_INPUT(fstat(fd, &s) == 0, "look at", path);
  if (s.st_size == 0)
    return RT_OK; // mmap refuses length 0
  void *data = mmap(NULL, (size_t)s.st_size, PROT_READ, MAP_SHARED, fd, 0);
  CHECK_INPUT(data != MAP_FAILED, "map", path);
  *out = (rt_map){.data = data, .bytes = (size_t)s.st_size};
  return RT_OK;
}

rt_err rt_map_open(const char *path, rt_map *out)
{
  int fd;
  *out = (rt_map){0};
  RT_TRY(rt_file_open(path, &fd));
  const rt_err err = map_file(fd, path, out);
  close(fd); // the mapping remains valid
  RT_TRY(err);
  return RT_OK;
}

void rt_map_close(rt_map *map)
{
  if (map->data != NULL)
    munmap((void *)(uintptr_t)map->data, map->bytes);
  *map = (rt_map){0};
}

static rt_err make_folder(const char *path)
{
  if (mkdir(path, 0777) == 0)
    return RT_OK;
  const int reason = errno;
  if (rt_folder_exists(path))
    return RT_OK; // other ranks may have created the same folder
  errno = reason == EEXIST ? ENOTDIR : reason;
  CHECK_OUTPUT(false, "create folder", path);
  return RT_OK;
}

rt_err rt_folder_create(const char *path)
{
  char part[RT_PATH_MAX];
  RT_TRY(rt_path_join(part, "", path));
  RT_CHECK(part[0] != '\0', RT_ERR_CONFIG,
           "cannot create a folder with an empty name");
  for (char *p = part + 1; *p != '\0'; p++) {
    if (*p != '/')
      continue;
    *p = '\0';
    RT_TRY(make_folder(part));
    *p = '/';
  }
  return make_folder(part);
}

static int remove_one(const char *path, const struct stat *s, int type,
                      struct FTW *where)
{
  (void)s, (void)type, (void)where;
  return remove(path);
}

rt_err rt_path_remove(const char *path)
{
  const int n_open = 16;
  if (nftw(path, remove_one, n_open, FTW_DEPTH | FTW_PHYS) != 0)
    CHECK_OUTPUT(errno == ENOENT, "remove", path);
  return RT_OK;
}

int64_t rt_file_most_bytes(void)
{
  struct rlimit max;
  if (getrlimit(RLIMIT_FSIZE, &max) != 0 || max.rlim_cur == RLIM_INFINITY ||
      max.rlim_cur > INT64_MAX)
    return INT64_MAX;
  return (int64_t)max.rlim_cur;
}

const char *rt_write_reason(int reason, char *text)
{
  const int64_t max = rt_file_most_bytes();
  const bool limited = max < INT64_MAX && (reason == 0 || reason == EFBIG);
  const int n = snprintf(text, 160, "%s", reason != 0 ? strerror(reason) : "");
  if (limited && n >= 0 && n < 160)
    snprintf(text + n, 160 - (size_t)n,
             "; files of this process may have at most %.3f MiB (ulimit -f)",
             (double)max * 0x1p-20);
  return text;
}

rt_err rt_disk_free(const char *folder, int64_t *bytes)
{
  struct statvfs s;
  CHECK_INPUT(statvfs(folder, &s) == 0, "ask for the free space of", folder);
  *bytes = (int64_t)s.f_bavail * (int64_t)s.f_frsize;
  return RT_OK;
}

rt_err rt_disk_needs(rt_err err, const char *folder, const char *what,
                     int64_t bytes)
{
  struct statvfs s;
  if (err != RT_ERR_IO || statvfs(folder, &s) != 0)
    return err;
  return rt_err_add(
      err,
      "; %s needs %.3f MiB in %s, %.3f MiB free: see to the disk, "
      "what was complete before is kept",
      what, (double)bytes * 0x1p-20, folder,
      (double)s.f_bavail * (double)s.f_frsize * 0x1p-20);
}
