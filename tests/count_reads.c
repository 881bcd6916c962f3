/** \file count_reads.c
 *  A preload library that appends a line "PROCESS OFFSET BYTES PATH" to
 *  COUNT_TO for each pread of a file whose path contains COUNT_IN, by any
 *  process except those forked to open HDF5 files, which may not write.
 *    COUNT_IN=PART COUNT_TO=FILE LD_PRELOAD=... program */
#include <dlfcn.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static pid_t born; // process that loaded this library

__attribute__((constructor)) static void remember(void)
{
  born = getpid();
}

static void note(int fd, size_t n, off_t at)
{
  const char *part = getenv("COUNT_IN"), *to = getenv("COUNT_TO");
  char link[64], path[PATH_MAX], line[PATH_MAX + 64];
  snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
  const ssize_t len = readlink(link, path, sizeof path - 1);
  if (part == NULL || to == NULL || len < 0 || getpid() != born)
    return;
  path[len] = '\0';
  if (strstr(path, part) == NULL)
    return;
  const int out = open(to, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
  const int n_line = snprintf(line, sizeof line, "%ld %lld %zu %s\n",
                              (long)getpid(), (long long)at, n, path);
  if (out < 0 || write(out, line, (size_t)n_line) != n_line)
    abort(); // an incomplete count must not be mistaken for a smaller one
  close(out);
}

ssize_t pread(int fd, void *to, size_t n, off_t at)
{
  note(fd, n, at);
  return ((ssize_t(*)(int, void *, size_t, off_t))dlsym(RTLD_NEXT, "pread"))(
      fd, to, n, at);
}

ssize_t pread64(int fd, void *to, size_t n, off_t at)
{
  return pread(fd, to, n, at);
}
