/** \file publish.c
 *  Drafts, and renaming them when they are complete. */
#include "base/draft.h"

#include "base/log.h"
#include "base/outfile.h"
#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

static const char mark[] =
    ".tmp."; // separates a name from host and process in a draft's name

rt_err rt_path_draft(char draft[RT_PATH_MAX], const char *path)
{
  char host[65] = "";
  gethostname(host, sizeof host - 1);
  const int n = snprintf(draft, RT_PATH_MAX, "%s%s%s.%ld", path, mark, host,
                         (long)getpid());
  RT_CHECK(n >= 0 && n < RT_PATH_MAX, RT_ERR_CONFIG,
           "path of %d bytes is too long, expected fewer than %d: %.80s...", n,
           RT_PATH_MAX, path);
  return RT_OK;
}

/** The parent folder of \a path. */
static void parent_of(const char *path, char out[RT_PATH_MAX])
{
  snprintf(out, RT_PATH_MAX, "%s", path);
  size_t n = strlen(out);
  while (n > 1 && out[n - 1] == '/')
    out[--n] = '\0';
  char *slash = strrchr(out, '/');
  if (slash == NULL)
    strcpy(out, ".");
  else
    slash[slash == out ? 1 : 0] = '\0';
}

/** Error, with errno, when a complete draft cannot be renamed.  A file system
 *  that has become read-only counts as an I/O error. */
static rt_err cannot_rename(const char *draft, const char *path)
{
  return RT_FAIL(errno == EACCES || errno == EPERM ? RT_ERR_PERM : RT_ERR_IO,
                 "cannot rename %s to %s: %s", draft, path, strerror(errno));
}

static rt_err sync_parent(const char *path)
{
  char folder[RT_PATH_MAX];
  parent_of(path, folder);
  return rt_path_sync(folder);
}

rt_err rt_path_publish(const char *draft, const char *path)
{
  RT_TRY(rt_path_sync(draft));
  while (rename(draft, path) != 0)
    if (errno != EINTR)
      return cannot_rename(draft, path);
  return sync_parent(path);
}

/** Remove \a draft after \a err, which is returned with its text. */
static rt_err give_up(rt_err err, const char *draft)
{
  rt_err_keep();
  if (rt_path_remove(draft) != RT_OK)
    rt_warn("%s is left over: %s", draft, rt_err_text());
  return rt_err_restore(err);
}

rt_err rt_path_conclude(rt_err err, const char *draft, const char *path)
{
  if (err == RT_OK)
    err = rt_path_publish(draft, path);
  return err == RT_OK ? RT_OK : give_up(err, draft);
}

rt_err rt_file_put(const char *path, const void *data, size_t n)
{
  char draft[RT_PATH_MAX];
  rt_outfile *f;
  RT_TRY(rt_path_draft(draft, path));
  RT_TRY(rt_outfile_create(draft, &f));
  const rt_err err = rt_outfile_put_at(f, data, n, 0);
  return rt_path_conclude(rt_outfile_finish(err, &f), draft, path);
}

static rt_err copy_data(int from, const char *path, rt_outfile *to)
{
  char piece[1 << 16];
  struct stat s;
  RT_CHECK(fstat(from, &s) == 0, RT_ERR_IO, "cannot look at %s: %s", path,
           strerror(errno));
  for (int64_t at = 0; at < s.st_size;) {
    const int64_t left = s.st_size - at;
    const size_t n = left < (int64_t)sizeof piece ? (size_t)left : sizeof piece;
    RT_TRY(rt_file_read_at(from, path, piece, n, at));
    RT_TRY(rt_outfile_append(to, piece, n));
    at += (int64_t)n;
  }
  return RT_OK;
}

rt_err rt_file_copy(const char *from, const char *to)
{
  char draft[RT_PATH_MAX];
  rt_outfile *f = NULL;
  int in;
  RT_TRY(rt_path_draft(draft, to));
  RT_TRY(rt_file_open(from, &in));
  rt_err err = rt_outfile_create(draft, &f);
  if (err == RT_OK) {
    err = copy_data(in, from, f);
    err = rt_path_conclude(rt_outfile_finish(err, &f), draft, to);
  }
  close(in);
  return err;
}

/** Store \a path without trailing slashes ("out/" becomes "out"). */
static rt_err set_path(rt_draft *d, const char *path)
{
  size_t length = strlen(path);
  while (length > 1 && path[length - 1] == '/')
    length--;
  RT_CHECK(length < RT_PATH_MAX, RT_ERR_CONFIG,
           "%.80s...: the path is too long, expected fewer than %d bytes", path,
           RT_PATH_MAX);
  snprintf(d->path, RT_PATH_MAX, "%.*s", (int)length, path);
  RT_CHECK(!rt_path_exists(d->path), RT_ERR_LOCKED,
           "%s exists: choose another name, or remove it", d->path);
  return rt_path_draft(d->tmp, d->path);
}

/** Open \a path and lock it.  Returns -1 with errno set: EWOULDBLOCK if a live
 *  process holds the lock, ENOENT if the file no longer exists, others if the
 *  file system does not support locks. */
static int open_locked(const char *path)
{
  struct stat ours, there;
  const int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
  if (fd < 0)
    return -1;
  int reason = flock(fd, LOCK_EX | LOCK_NB) == 0 ? 0 : errno;
  if (reason == 0 && (fstat(fd, &ours) != 0 || stat(path, &there) != 0 ||
                      ours.st_ino != there.st_ino))
    reason = ENOENT;
  if (reason == 0)
    return fd;
  close(fd);
  errno = reason;
  return -1;
}

size_t rt_draft_base(const char *name, size_t n)
{
  const size_t n_mark = sizeof mark - 1;
  size_t end = n;
  while (end > 0 && isdigit((unsigned char)name[end - 1]))
    end--;
  const size_t n_digits = n - end;
  if (n_digits == 0 || n_digits > 10 || end == 0 || name[--end] != '.')
    return 0;
  size_t host = end; // from here to "end"; it may have dots itself
  while (host > 0 && (isalnum((unsigned char)name[host - 1]) ||
                      strchr("._-", name[host - 1]) != NULL)) {
    host--;
    if (host + n_mark < end && strncmp(name + host, mark, n_mark) == 0)
      return host;
  }
  return 0;
}

/** Is \a name BASE.tmp.HOST.PID? */
static bool is_draft_of(const char *name, const char *base)
{
  const size_t n = strlen(base);
  return rt_draft_base(name, strlen(name)) == n && strncmp(name, base, n) == 0;
}

/** Remove drafts of \a path whose process no longer exists. */
static rt_err sweep(const char *path)
{
  char folder[RT_PATH_MAX], old[RT_PATH_MAX];
  parent_of(path, folder);
  const char *const slash = strrchr(path, '/');
  const char *const base = slash != NULL ? slash + 1 : path;
  // if NULL, creating the draft reports the reason
  DIR *const dir = opendir(folder);
  rt_err err = RT_OK;
  for (struct dirent *e; err == RT_OK && dir && (e = readdir(dir)) != NULL;) {
    if (!is_draft_of(e->d_name, base))
      continue;
    err = rt_path_join(old, folder, e->d_name);
    const int fd = err == RT_OK ? open_locked(old) : -1;
    if (fd < 0)
      continue;
    err = rt_path_remove(old);
    close(fd);
  }
  if (dir != NULL)
    closedir(dir);
  return err;
}

bool rt_sweep_one(const char *folder, const char *name, double min_age_s)
{
  char path[RT_PATH_MAX];
  struct stat s;
  if (rt_path_join(path, folder, name) != RT_OK || lstat(path, &s) != 0 ||
      !S_ISREG(s.st_mode) || difftime(time(NULL), s.st_mtime) < min_age_s)
    return false;
  const int fd = open_locked(path);
  const bool unused = fd >= 0 || (errno != EWOULDBLOCK && errno != ENOENT);
  const bool gone = unused && unlink(path) == 0;
  if (gone)
    rt_info("%s, left by a killed run, is removed", path);
  if (fd >= 0)
    close(fd);
  return gone;
}

void rt_drafts_sweep(const char *folder, const char *const *bases, int n)
{
  const double day_s = 86400.0;
  DIR *const dir = opendir(folder);
  for (struct dirent *e; dir != NULL && (e = readdir(dir)) != NULL;)
    for (int i = 0; i < n; i++)
      if (is_draft_of(e->d_name, bases[i]))
        rt_sweep_one(folder, e->d_name, day_s);
  if (dir != NULL)
    closedir(dir);
}

static rt_err make_file(const char *path)
{
  rt_outfile *f;
  RT_TRY(rt_outfile_create(path, &f));
  return rt_outfile_finish(RT_OK, &f);
}

/** Create the draft and lock it.  Another run that starts at the same time may
 *  remove it as a leftover before it is locked; then try once more. */
static rt_err begin(rt_draft *d, rt_err (*make)(const char *path))
{
  for (int i = 0; i < 10; i++) {
    RT_TRY(sweep(d->path));
    RT_CHECK(
        !rt_path_exists(d->tmp), RT_ERR_LOCKED,
        "%s is there: another run seems to make %s; remove it if none does",
        d->tmp, d->path);
    RT_TRY(make(d->tmp));
    d->fd = open_locked(d->tmp);
    if (d->fd >= 0 || (errno != EWOULDBLOCK && errno != ENOENT))
      return RT_OK; // no run removes drafts where locks are not supported
  }
  return RT_FAIL(RT_ERR_LOCKED, "%s: other runs remove it; try again", d->tmp);
}

rt_err rt_draft_file(const char *path, rt_draft *d)
{
  RT_TRY(set_path(d, path));
  return begin(d, make_file);
}

rt_err rt_draft_folder(const char *path, rt_draft *d)
{
  RT_TRY(set_path(d, path));
  return begin(d, rt_folder_create);
}

/** Rename without replacing an existing file or folder.  Where the file system
 *  cannot do this atomically, check first; a folder that is not empty cannot be
 *  replaced in that case either. */
static rt_err rename_new(const rt_draft *d)
{
  int failed;
  do
    failed = renameat2(AT_FDCWD, d->tmp, AT_FDCWD, d->path, RENAME_NOREPLACE);
  while (failed != 0 && errno == EINTR);
  if (failed != 0 && (errno == EINVAL || errno == ENOSYS || errno == ENOTSUP)) {
    errno = EEXIST;
    if (!rt_path_exists(d->path))
      failed = rename(d->tmp, d->path);
  }
  RT_CHECK(failed == 0 || (errno != EEXIST && errno != ENOTEMPTY),
           RT_ERR_LOCKED,
           "%s exists: another run has made it meanwhile; choose another name",
           d->path);
  return failed == 0 ? RT_OK : cannot_rename(d->tmp, d->path);
}

static rt_err publish_new(const rt_draft *d)
{
  RT_TRY(rt_path_sync(d->tmp));
  RT_TRY(rename_new(d));
  return sync_parent(d->path);
}

rt_err rt_draft_conclude(rt_err err, rt_draft *d)
{
  if (err == RT_OK)
    err = publish_new(d);
  if (err != RT_OK)
    err = give_up(err, d->tmp);
  if (d->fd >= 0)
    close(d->fd);
  return err;
}
