/** \file lines.c
 *  Appends lines, and keeps what cannot be written. */
#include "base/lines.h"

#include "base/file.h"
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

static void drop(rt_lines *l, size_t n)
{
  memmove(l->kept, l->kept + n, l->n - n);
  l->n -= n;
}

/** Cut off the part of a line that a failed write left behind; not if somebody
 *  has written after it.  Returns 0, or errno if it stays. */
static int mend(rt_lines *l)
{
  struct stat s;
  if (l->part == 0)
    return 0;
  if (fstat(l->fd, &s) != 0)
    return errno;
  const bool last = s.st_size == (off_t)(l->whole + (int64_t)l->part);
  if (last && ftruncate(l->fd, (off_t)l->whole) != 0)
    return errno;
  l->part = 0;
  return 0;
}

/** Returns 0, or errno if only *done of the bytes are written. */
static int write_all(int fd, const char *text, size_t n, size_t *done)
{
  for (*done = 0; *done < n;) {
    const ssize_t some = write(fd, text + *done, n - *done);
    if (some < 0 && errno == EINTR)
      continue;
    if (some <= 0) // 0: the only reason for which POSIX allows this
      return some < 0 ? errno : ENOSPC;
    *done += (size_t)some;
  }
  return 0;
}

/** Append lines; *done: the size of the whole ones that arrived.  The part of
 *  another one is cut off, if not now, before the next write. */
static int append(rt_lines *l, const char *text, size_t n, size_t *done)
{
  struct stat s;
  size_t wrote;
  *done = 0;
  if (fstat(l->fd, &s) != 0)
    return errno;
  const int reason = write_all(l->fd, text, n, &wrote);
  *done = wrote;
  while (*done > 0 && text[*done - 1] != '\n')
    --*done;
  l->whole = (int64_t)s.st_size + (int64_t)*done;
  l->part = wrote - *done;
  mend(l);
  return reason;
}

/** Say in the file how many lines it lacks before those that are kept. */
static int put_lost(rt_lines *l)
{
  char line[64];
  size_t done;
  if (l->stay == RT_LINES_FIRST || l->n_lost == 0)
    return 0;
  const int n = snprintf(line, sizeof line, "(%lld lines are missing here)\n",
                         (long long)l->n_lost);
  const int reason = append(l, line, (size_t)n, &done);
  if (reason == 0)
    l->n_lost = 0;
  return reason;
}

int rt_lines_write(rt_lines *l)
{
  size_t done;
  int reason = mend(l);
  if (reason == 0 && l->fd >= 0)
    reason = put_lost(l);
  if (reason != 0 || l->fd < 0 || l->n == 0)
    return reason;
  reason = append(l, l->kept, l->n, &done);
  drop(l, done);
  return reason;
}

/** Make room for \a n bytes. */
static void drop_oldest(rt_lines *l, size_t n)
{
  while (n > l->room - l->n && l->n > 0) {
    const char *const end = memchr(l->kept, '\n', l->n);
    drop(l, end != NULL ? (size_t)(end - l->kept) + 1 : l->n);
    l->n_lost++;
  }
}

int rt_lines_put(rt_lines *l, const char *text, size_t n)
{
  int reason = 0;
  if (n > l->room - l->n)
    reason = rt_lines_write(l);
  if (l->stay == RT_LINES_LAST)
    drop_oldest(l, n);
  if (n <= l->room - l->n) {
    memcpy(l->kept + l->n, text, n);
    l->n += n;
    return rt_lines_write(l);
  }
  l->n_lost++;
  return reason;
}

int64_t rt_lines_kept(const rt_lines *l)
{
  int64_t n = 0;
  for (size_t i = 0; i < l->n; i++)
    n += l->kept[i] == '\n';
  return n;
}

void rt_lines_why(const rt_lines *l, int reason, char text[RT_LINES_WHY])
{
  struct statvfs s;
  char why[160], room[96] = "";
  if (fstatvfs(l->fd, &s) == 0)
    snprintf(room, sizeof room, "; %zu bytes are needed, %lld are free there",
             l->n, (long long)s.f_bavail * (long long)s.f_frsize);
  snprintf(text, RT_LINES_WHY, "cannot write to %.4095s: %s%s; %s", l->path,
           rt_write_reason(reason, why), room,
           reason == ENOSPC || reason == EDQUOT ? "make room there"
                                                : "see to the disk");
}
