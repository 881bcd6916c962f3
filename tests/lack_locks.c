/** \file lack_locks.c
 *  A preload library that imitates a file system without flock, fcntl locks and
 *  hard links.
 *    LACK_ERRNO=38 LD_PRELOAD=... program */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

/** True, with errno set, when calls fail. */
static int fails(void)
{
  const char *reason = getenv("LACK_ERRNO");
  if (reason != NULL)
    errno = atoi(reason);
  return reason != NULL;
}

int flock(int fd, int operation)
{
  int (*real)(int, int);
  *(void **)&real = dlsym(RTLD_NEXT, "flock");
  return fails() ? -1 : real(fd, operation);
}

int link(const char *from, const char *to)
{
  int (*real)(const char *, const char *);
  *(void **)&real = dlsym(RTLD_NEXT, "link");
  return fails() ? -1 : real(from, to);
}

int fsync(int fd)
{
  int (*real)(int);
  struct stat s;
  *(void **)&real = dlsym(RTLD_NEXT, "fsync");
  if (fstat(fd, &s) == 0 && S_ISDIR(s.st_mode) && fails())
    return -1;
  return real(fd);
}

static int locks(int command)
{
  return command == F_SETLK || command == F_SETLKW || command == F_OFD_SETLK ||
         command == F_OFD_SETLKW;
}

#define FCNTL(name)                                                            \
  int name(int fd, int command, ...)                                           \
  {                                                                            \
    int (*real)(int, int, ...);                                                \
    va_list more;                                                              \
    va_start(more, command);                                                   \
    void *const argument = va_arg(more, void *);                               \
    va_end(more);                                                              \
    *(void **)&real = dlsym(RTLD_NEXT, #name);                                 \
    return locks(command) && fails() ? -1 : real(fd, command, argument);       \
  }

int fcntl(int fd, int command, ...);
int fcntl64(int fd, int command, ...);
FCNTL(fcntl)
FCNTL(fcntl64)
