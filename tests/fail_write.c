/** \file fail_write.c
 *  A library to preload: the file system under a folder fails from the n-th
 *  call on that changes it (write, writev, pwrite, pwritev, fsync, rename).
 *    FAIL_IN=FOLDER FAIL_AT=N FAIL_ERRNO=5 LD_PRELOAD=... program
 *  FAIL_IN is part of the path; FAIL_AT 1 is the first call.
 *  With FAIL_SLOW_S=S no call fails: that one takes S seconds. */
#include <dlfcn.h>
#include <errno.h>
#include <limits.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

static _Atomic long n_calls; // a preloaded library has no other place for it

static bool is_ours(const char *path)
{
  const char *part = getenv("FAIL_IN");
  return part != NULL && strstr(path, part) != NULL;
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

/** Count a call; true, with errno set, from FAIL_AT on. */
static bool fails(void)
{
  const char *at = getenv("FAIL_AT"), *reason = getenv("FAIL_ERRNO");
  const char *slow_s = getenv("FAIL_SLOW_S");
  const long n = atomic_fetch_add(&n_calls, 1) + 1;
  if (at == NULL || n < atol(at))
    return false;
  if (slow_s != NULL) {
    sleep(n == atol(at) ? (unsigned)atoi(slow_s) : 0);
    return false;
  }
  errno = reason != NULL ? atoi(reason) : EIO;
  return true;
}

ssize_t write(int fd, const void *from, size_t n)
{
  if (is_our_file(fd) && fails())
    return -1;
  return ((ssize_t(*)(int, const void *, size_t))dlsym(RTLD_NEXT, "write"))(
      fd, from, n);
}

ssize_t pwrite(int fd, const void *from, size_t n, off_t at)
{
  if (is_our_file(fd) && fails())
    return -1;
  return ((ssize_t(*)(int, const void *, size_t, off_t))dlsym(
      RTLD_NEXT, "pwrite"))(fd, from, n, at);
}

ssize_t pwrite64(int fd, const void *from, size_t n, off_t at)
{
  return pwrite(fd, from, n, at);
}

ssize_t writev(int fd, const struct iovec *from, int n)
{
  if (is_our_file(fd) && fails())
    return -1;
  return ((ssize_t(*)(int, const struct iovec *, int))dlsym(
      RTLD_NEXT, "writev"))(fd, from, n);
}

ssize_t pwritev(int fd, const struct iovec *from, int n, off_t at)
{
  if (is_our_file(fd) && fails())
    return -1;
  return ((ssize_t(*)(int, const struct iovec *, int, off_t))dlsym(
      RTLD_NEXT, "pwritev"))(fd, from, n, at);
}

ssize_t pwritev64(int fd, const struct iovec *from, int n, off_t at)
{
  return pwritev(fd, from, n, at);
}

int fsync(int fd)
{
  if (is_our_file(fd) && fails())
    return -1;
  return ((int (*)(int))dlsym(RTLD_NEXT, "fsync"))(fd);
}

int rename(const char *from, const char *to)
{
  if (is_ours(to) && fails())
    return -1;
  return ((int (*)(const char *, const char *))dlsym(RTLD_NEXT, "rename"))(from,
                                                                           to);
}
