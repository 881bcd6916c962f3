/** \file lines.c
 *  Appends lines, and keeps what cannot be written. */
#include "base/lines.h"

#include "base/file.h"
#include <errno.h>
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

/** After a failed write: whole lines that arrived stay in the file, the part of
 *  another one is cut off.  Returns 0, or errno if the file stays torn. */
static int mend(rt_lines *l)
{
  struct stat s;
  if (fstat(l->fd, &s) != 0)
    return errno;
  size_t n = s.st_size > l->whole ? (size_t)(s.st_size - l->whole) : 0;
  n = n < l->n ? n : l->n;
  while (n > 0 && l->kept[n - 1] != '\n')
    n--;
  const int64_t end = l->whole + (int64_t)n;
  if (s.st_size > end && ftruncate(l->fd, (off_t)end) != 0)
    return errno;
  drop(l, n);
  l->torn = false;
  return 0;
}

static int write_all(int fd, const char *text, size_t n)
{
  for (size_t at = 0; at < n;) {
    const ssize_t some = write(fd, text + at, n - at);
    if (some < 0 && errno == EINTR)
      continue;
    if (some <= 0) // 0: the only reason for which POSIX allows this
      return some < 0 ? errno : ENOSPC;
    at += (size_t)some;
  }
  return 0;
}

int rt_lines_write(rt_lines *l)
{
  struct stat s;
  int reason = l->torn ? mend(l) : 0;
  if (reason != 0 || l->fd < 0 || l->n == 0)
    return reason;
  if (fstat(l->fd, &s) != 0)
    return errno;
  l->whole = (int64_t)s.st_size;
  reason = write_all(l->fd, l->kept, l->n);
  if (reason == 0) {
    l->n = 0;
    return 0;
  }
  l->torn = true;
  mend(l); // if that fails, it is tried again before the next write
  return reason;
}

int rt_lines_put(rt_lines *l, const char *text, size_t n)
{
  int reason = 0;
  if (n > l->room - l->n)
    reason = rt_lines_write(l);
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
