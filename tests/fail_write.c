/** \file fail_write.c
 *  A preload library in which the file system below a folder fails at the n-th
 *  call that changes it (open to create, write and variants, ftruncate, fsync,
 *  fdatasync, close, rename, link, unlink, remove, mkdir, rmdir).
 *
 *    FAIL_IN=PART FAIL_AT=N FAIL_HOW=HOW LD_PRELOAD=... program
 *
 *  PART is part of the path; N = 1 is the first call.  HOW is an errno (5:
 *  EIO), or short (half of the data is written), or lie (the write reports
 *  success but does nothing), or full (half of the data of the n-th call is
 *  written, then there is no space).  The n-th and all later calls fail; with
 *  FAIL_ONCE only that one, with FAIL_FOR=K only K of them; with FAIL_RANK=R
 * only on that rank of Open MPI. With FAIL_SLOW_S=S no call fails, but that one
 * takes S seconds.  With FAIL_COUNT=FILE a process appends "RANK N CALL PATH"
 * for each call, and "RANK N" when it ends.
 */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

// static, because a preload library has no other place for it
static _Atomic long n_calls;
static _Thread_local char ours[PATH_MAX]; // path of the call being judged
static _Thread_local bool is_first;       // it is the n-th

#define NEXT(name) ((__typeof__(name) *)dlsym(RTLD_NEXT, #name))

static const char *option(const char *name)
{
  const char *const value = getenv(name);
  return value != NULL ? value : "";
}

static bool is_ours(const char *path)
{
  const char *const part = option("FAIL_IN");
  const bool is = part[0] != '\0' && strstr(path, part) != NULL;
  if (is)
    snprintf(ours, sizeof ours, "%s", path);
  return is;
}

static bool is_our_file(int fd)
{
  char link[64], path[PATH_MAX];
  snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
  const ssize_t n = readlink(link, path, sizeof path - 1);
  if (n < 0)
    return false;
  path[n] = '\0';
  return is_ours(path);
}

/** Add a line to the file of FAIL_COUNT: a rank and a number, with the name and
 *  path of one call, or without for the end of a process. */
static void tell(long n, const char *call, const char *path)
{
  const char *const to = option("FAIL_COUNT");
  FILE *const f = to[0] != '\0' ? fopen(to, "a") : NULL;
  if (f == NULL)
    return;
  fprintf(f, "%s %ld %s %s\n", option("OMPI_COMM_WORLD_RANK"), n, call, path);
  fclose(f);
}

/** Count a call; should it fail? */
static bool strikes(const char *call)
{
  const char *const rank = option("FAIL_RANK");
  const long n = atomic_fetch_add(&n_calls, 1) + 1,
             at = atol(option("FAIL_AT")),
             most =
                 option("FAIL_ONCE")[0] != '\0' ? 1 : atol(option("FAIL_FOR"));
  tell(n, call, ours);
  is_first = n == at;
  if (at == 0 || n < at || (most > 0 && n >= at + most) ||
      (rank[0] != '\0' && strcmp(rank, option("OMPI_COMM_WORLD_RANK")) != 0))
    return false;
  if (option("FAIL_SLOW_S")[0] == '\0')
    return true;
  sleep(n == at ? (unsigned)atoi(option("FAIL_SLOW_S")) : 0);
  return false;
}

/** The same, but only writes can be short or lie; sets errno. */
static bool fails(const char *call)
{
  const char *const how = option("FAIL_HOW");
  const int reason = strcmp(how, "full") == 0 ? ENOSPC : atoi(how);
  if (!strikes(call) || reason == 0)
    return false;
  errno = reason;
  return true;
}

__attribute__((destructor)) static void tell_end(void)
{
  tell(n_calls, "", "");
}

/** How many of n bytes to write: none, with an immediate result, or a number.
 */
static bool answered(const char *call, int fd, size_t *n, ssize_t *answer)
{
  if (!is_our_file(fd) || !strikes(call))
    return false;
  const char *const how = option("FAIL_HOW");
  const bool full = strcmp(how, "full") == 0;
  if (strcmp(how, "short") == 0 || (full && is_first)) {
    *n = (*n + 1) / 2;
    return false;
  }
  *answer = strcmp(how, "lie") == 0 ? (ssize_t)*n : -1;
  errno = full ? ENOSPC : atoi(how);
  return true;
}

ssize_t write(int fd, const void *from, size_t n)
{
  ssize_t r;
  return answered(__func__, fd, &n, &r) ? r : NEXT(write)(fd, from, n);
}

ssize_t pwrite(int fd, const void *from, size_t n, off_t at)
{
  ssize_t r;
  return answered(__func__, fd, &n, &r) ? r : NEXT(pwrite)(fd, from, n, at);
}

ssize_t pwrite64(int fd, const void *from, size_t n, off_t at)
{
  return pwrite(fd, from, n, at);
}

ssize_t writev(int fd, const struct iovec *from, int n)
{
  if (is_our_file(fd) && fails(__func__))
    return -1;
  return NEXT(writev)(fd, from, n);
}

ssize_t pwritev(int fd, const struct iovec *from, int n, off_t at)
{
  if (is_our_file(fd) && fails(__func__))
    return -1;
  return NEXT(pwritev)(fd, from, n, at);
}

ssize_t pwritev64(int fd, const struct iovec *from, int n, off_t at)
{
  return pwritev(fd, from, n, at);
}

int ftruncate(int fd, off_t n)
{
  return is_our_file(fd) && fails(__func__) ? -1 : NEXT(ftruncate)(fd, n);
}

int ftruncate64(int fd, off_t n)
{
  return ftruncate(fd, n);
}

int fsync(int fd)
{
  return is_our_file(fd) && fails(__func__) ? -1 : NEXT(fsync)(fd);
}

int fdatasync(int fd)
{
  return is_our_file(fd) && fails(__func__) ? -1 : NEXT(fdatasync)(fd);
}

/** Fails for a written file, which is nevertheless closed. */
int close(int fd)
{
  const int flags = fcntl(fd, F_GETFL);
  const bool bad = flags >= 0 && (flags & O_ACCMODE) != O_RDONLY &&
                   is_our_file(fd) && fails(__func__);
  const int reason = errno, answer = NEXT(close)(fd);
  if (bad)
    errno = reason;
  return bad ? -1 : answer;
}

int open(const char *path, int flags, ...)
{
  va_list more;
  va_start(more, flags);
  const mode_t mode = (flags & O_CREAT) != 0 ? va_arg(more, mode_t) : 0;
  va_end(more);
  if ((flags & O_CREAT) != 0 && is_ours(path) && fails(__func__))
    return -1;
  return NEXT(open)(path, flags, mode);
}

int open64(const char *path, int flags, ...)
{
  va_list more;
  va_start(more, flags);
  const mode_t mode = (flags & O_CREAT) != 0 ? va_arg(more, mode_t) : 0;
  va_end(more);
  return open(path, flags, mode);
}

int rename(const char *from, const char *to)
{
  return is_ours(to) && fails(__func__) ? -1 : NEXT(rename)(from, to);
}

int renameat2(int a, const char *from, int b, const char *to, unsigned flags)
{
  return is_ours(to) && fails(__func__)
             ? -1
             : NEXT(renameat2)(a, from, b, to, flags);
}

int link(const char *from, const char *to)
{
  return is_ours(to) && fails(__func__) ? -1 : NEXT(link)(from, to);
}

int unlink(const char *path)
{
  return is_ours(path) && fails(__func__) ? -1 : NEXT(unlink)(path);
}

int remove(const char *path)
{
  return is_ours(path) && fails(__func__) ? -1 : NEXT(remove)(path);
}

int mkdir(const char *path, mode_t mode)
{
  return is_ours(path) && fails(__func__) ? -1 : NEXT(mkdir)(path, mode);
}

int rmdir(const char *path)
{
  return is_ours(path) && fails(__func__) ? -1 : NEXT(rmdir)(path);
}
