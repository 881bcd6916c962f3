/** \file door.c
 *  A mutex between processes, implemented in three ways. */
#include "io/common/door.h"

#include "base/log.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum {
  LEFT_S = 60, // holders keep the mutex for moments only, so an older file is a
               // leftover
  NOT_SUPP = 524,  // the kernel-internal ENOTSUPP, which Lustre returns
  NAME_MORE = 320, // maximum length that second names add
};

bool rt_door_lacks(int reason)
{
  return reason == ENOSYS || reason == ENOLCK || reason == EPERM ||
         reason == EOPNOTSUPP || reason == EINVAL || reason == NOT_SUPP;
}

rt_err rt_door_init(rt_door *door, const char *path)
{
  *door = (rt_door){.fd = -1};
  RT_CHECK(strlen(path) + NAME_MORE < RT_PATH_MAX, RT_ERR_CONFIG,
           "path is too long: %.80s...", path);
  snprintf(door->path, sizeof door->path, "%s", path);
  return RT_OK;
}

/** Name of the file whose existence represents the lock, with \a more appended.
 */
static void second_name(const rt_door *door, const char *more,
                        char name[RT_PATH_MAX])
{
  snprintf(name, RT_PATH_MAX, "%.*s.held%s", RT_PATH_MAX - NAME_MORE,
           door->path, more);
}

/** Remove \a name if its holder was killed long ago.  It is renamed first: of
 *  two processes that find it, only one then removes it, and neither removes a
 *  new one. */
static void remove_left(const rt_door *door, const char *name)
{
  struct stat now, found, moved;
  char host[256] = "", more[300], aside[RT_PATH_MAX];
  if (futimens(door->fd, NULL) != 0 || fstat(door->fd, &now) != 0 ||
      stat(name, &found) != 0 ||
      difftime(now.st_mtime, found.st_mtime) <= LEFT_S)
    return;
  gethostname(host, sizeof host - 1);
  snprintf(more, sizeof more, ".%s.%ld", host, (long)getpid());
  second_name(door, more, aside);
  if (rename(name, aside) != 0)
    return;
  const bool left = stat(aside, &moved) == 0 && moved.st_ino == found.st_ino;
  // put back a new one that belongs to another process
  if (left || rename(aside, name) != 0)
    unlink(aside);
}

/** 0, or -1 with errno. */
static int lock_by_name(const rt_door *door)
{
  char name[RT_PATH_MAX];
  second_name(door, "", name);
  const int fd = open(name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
  if (fd >= 0)
    return close(fd);
  if (errno != EEXIST)
    return -1;
  remove_left(door, name);
  errno = EWOULDBLOCK;
  return -1;
}

static int lock_in_one_way(const rt_door *door)
{
  // a lock of the open file, not of the process: it survives another thread's
  // close
  struct flock whole = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
  switch (door->way) {
  case RT_DOOR_FLOCK:
    return flock(door->fd, LOCK_EX | LOCK_NB);
  case RT_DOOR_FCNTL:
    return fcntl(door->fd, F_OFD_SETLK, &whole);
  default:
    return lock_by_name(door);
  }
}

/** 0, or -1 with errno. */
static int lock(rt_door *door)
{
  while (lock_in_one_way(door) != 0) {
    if (!rt_door_lacks(errno) || door->way == RT_DOOR_NAME)
      return -1;
    const bool first = door->way == RT_DOOR_FLOCK;
    rt_warn("%s: this file system has no %s (%s): %s", door->path,
            first ? "flock" : "fcntl locks", strerror(errno),
            first ? "locked by fcntl instead"
                  : "a file stands for the lock instead");
    door->way = first ? RT_DOOR_FCNTL : RT_DOOR_NAME;
  }
  return 0;
}

static void unlock_by_name(const rt_door *door)
{
  char name[RT_PATH_MAX];
  second_name(door, "", name);
  unlink(name);
}

bool rt_door_enter(rt_door *door)
{
  struct stat there, ours;
  door->fd = open(door->path, O_RDWR | O_CREAT | O_CLOEXEC, 0666);
  if (door->fd < 0)
    return false;
  const int failed = lock(door);
  int reason = failed != 0 ? errno : EWOULDBLOCK;
  // a file that its last holder has removed is not a lock any more
  if (failed == 0 && fstat(door->fd, &ours) == 0 &&
      stat(door->path, &there) == 0 && ours.st_ino == there.st_ino) {
    if (futimens(door->fd, NULL) == 0)
      return true;
    reason = errno;
  }
  if (failed == 0 && door->way == RT_DOOR_NAME)
    unlock_by_name(door);
  close(door->fd);
  door->fd = -1;
  errno = reason;
  return false;
}

void rt_door_leave(rt_door *door)
{
  unlink(door->path);
  if (door->way == RT_DOOR_NAME)
    unlock_by_name(door);
  close(door->fd); // this also releases the lock
  door->fd = -1;
}
