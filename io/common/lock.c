/** \file lock.c
 *  The lock file of an output folder. */
#include "io/common/lock.h"

#include "base/draft.h"
#include "base/log.h"
#include "io/common/door.h"
#include "io/common/lock_owner.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { TRIES = 40, TRY_MS = 50 };

struct rt_lock {
  char path[RT_PATH_MAX];
  char text[RT_OWNER_TEXT]; // contents that this run wrote
  // held while examining or removing the lock file
  rt_door door;
  bool lost;    // another run took over; the warning was printed
  bool stale;   // its time cannot be set; the warning was printed
  bool no_link; // no hard links on this file system; the warning was printed
  bool made_folder; // this run created the folder
};

/** Create the lock file directly.  If the run is killed meanwhile, the file it
 *  leaves names no owner, and is taken over once it is old. */
static rt_err create_in_place(const rt_lock *lock, bool *made)
{
  const int fd =
      open(lock->path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
  *made = fd >= 0;
  RT_CHECK(*made || errno == EEXIST, RT_ERR_LOCKED, "cannot create %s: %s",
           lock->path, strerror(errno));
  if (!*made)
    return RT_OK;
  rt_err err =
      rt_file_write_at(fd, lock->path, lock->text, strlen(lock->text), 0);
  if (close(fd) != 0 && err == RT_OK)
    err =
        RT_FAIL(RT_ERR_IO, "cannot close %s: %s", lock->path, strerror(errno));
  if (err != RT_OK)
    unlink(lock->path);
  return err;
}

/** A unique file name.  (Processes in two containers may share host name and
 *  process number.) */
static rt_err own_name(const rt_lock *lock, const rt_owner *me,
                       char name[RT_PATH_MAX])
{
  const int n =
      snprintf(name, RT_PATH_MAX, "%s.%.100s.%ld.%.20s.%.8s", lock->path,
               me->host, me->pid, me->pid_space, me->boot);
  RT_CHECK(n < RT_PATH_MAX, RT_ERR_CONFIG, "path is too long: %.80s...", name);
  return RT_OK;
}

/** Create the lock file atomically by a hard link, so that a run killed
 *  meanwhile leaves no empty one.  *made is false if there is one already. */
static rt_err create(rt_lock *lock, const rt_owner *me, bool *made)
{
  char mine[RT_PATH_MAX];
  struct stat s;
  if (lock->no_link)
    return create_in_place(lock, made);
  RT_TRY(own_name(lock, me, mine));
  RT_TRY(rt_file_put(mine, lock->text, strlen(lock->text)));
  const int failed = link(mine, lock->path), reason = errno;
  // NFS may return EEXIST for a retransmitted request that succeeded
  *made = failed == 0 || (stat(mine, &s) == 0 && s.st_nlink == 2);
  unlink(mine);
  if (*made || reason == EEXIST)
    return RT_OK;
  RT_CHECK(rt_door_lacks(reason) || reason == EMLINK || reason == EACCES,
           RT_ERR_LOCKED, "cannot create %s, a hard link: %s", lock->path,
           strerror(reason));
  rt_warn("%s: this file system has no hard links (%s): the lock file is "
          "created directly instead",
          lock->path, strerror(reason));
  lock->no_link = true;
  return create_in_place(lock, made);
}

/** Read the lock file; false with errno set if it cannot be read. */
static bool read_text(const rt_lock *lock, char text[RT_OWNER_TEXT])
{
  const int fd = open(lock->path, O_RDONLY | O_CLOEXEC);
  if (fd < 0)
    return false;
  const ssize_t n =
      read(fd, text, RT_OWNER_TEXT - 1); // the file is not longer than that
  const int reason = errno;
  close(fd);
  errno = reason;
  text[n > 0 ? n : 0] = '\0';
  return n >= 0;
}

static bool is_ours(const rt_lock *lock)
{
  char text[RT_OWNER_TEXT];
  return read_text(lock, text) && strcmp(text, lock->text) == 0;
}

static void nap(void)
{
  nanosleep(&(struct timespec){0, TRY_MS * 1000000L}, NULL);
}

/** While holding the door: refuse, or take over (*done: this run has the lock).
 *  If the lock disappears meanwhile (its folder was cleaned by hand), try
 *  again. */
static rt_err judge(const rt_lock *lock, const rt_owner *me, bool *done)
{
  char text[RT_OWNER_TEXT], why[RT_OWNER_WHY];
  struct stat its, now;
  const bool there = read_text(lock, text) && stat(lock->path, &its) == 0;
  if (!there && errno == ENOENT)
    return RT_OK;
  RT_CHECK(there && stat(lock->door.path, &now) == 0, RT_ERR_IO,
           "cannot look at %s: %s", lock->path, strerror(errno));
  const rt_owner o = rt_owner_parse(text);
  const double age_s = difftime(now.st_mtime, its.st_mtime);
  RT_CHECK(rt_owner_is_gone(&o, me, age_s, why), RT_ERR_LOCKED,
           "%s: another run works here: host %s, pid %ld, Slurm job %s, since "
           "%s, last sign %.0f s ago (%s); wait for it, stop it, or choose "
           "another folder (remove this file only if that run is gone)",
           lock->path, o.host[0] ? o.host : "unknown", o.pid,
           o.job[0] ? o.job : "none", o.since[0] ? o.since : "unknown", age_s,
           why);
  RT_TRY(rt_file_put(lock->path, lock->text, strlen(lock->text)));
  rt_warn("%s: taken over from host %s, pid %ld: %s", lock->path, o.host, o.pid,
          why);
  *done = true;
  return RT_OK;
}

/** Try once to get the lock file; *done: this run has it. */
static rt_err try_once(rt_lock *lock, const rt_owner *me, bool *done)
{
  RT_TRY(create(lock, me, done));
  if (*done)
    return RT_OK;
  const bool inside = rt_door_enter(&lock->door);
  RT_CHECK(inside || errno == EWOULDBLOCK, RT_ERR_LOCKED,
           "cannot lock %s: %s; remove the file \"lock\" beside it if the run "
           "that it names is gone",
           lock->door.path, strerror(errno));
  if (!inside)
    return RT_OK;
  const rt_err err = judge(lock, me, done);
  rt_door_leave(&lock->door);
  if (err == RT_OK && *done && lock->door.way == RT_DOOR_NAME) {
    // a name-based door may, very rarely, admit two: the last one has the lock
    nap();
    *done = is_ours(lock);
  }
  return err;
}

static rt_err take(rt_lock *lock, double silent_s)
{
  const rt_owner me = rt_owner_myself(silent_s);
  rt_owner_print(&me, lock->text);
  bool done = false;
  for (int i = 0; i < TRIES; i++) {
    RT_TRY(try_once(lock, &me, &done));
    if (done)
      return RT_OK;
    nap();
  }
  return RT_FAIL(RT_ERR_LOCKED,
                 "%s is locked: another run is about to take this folder; try "
                 "again",
                 lock->door.path);
}

/** Does a field of \a name of \a n bytes that ends at *end, with a dot before
 *  it, have only the characters \a set, at most \a most?  Moves *end to the
 *  dot. */
static bool take_field(const char *name, size_t *end, const char *set,
                       size_t most)
{
  size_t from = *end;
  while (from > 0 && strchr(set, name[from - 1]) != NULL)
    from--;
  const size_t n = *end - from;
  if (n == 0 || n > most || from == 0 || name[from - 1] != '.')
    return false;
  *end = from - 1;
  return true;
}

/** Have the first \a n bytes of \a name the form lock.HOST.PID.SPACE.BOOT of
 *  own_name?  \a pid: from where PID stands. */
static bool is_own_name(const char *name, size_t n, size_t *pid)
{
  const char *const digits = "0123456789";
  size_t end = n;
  if (strncmp(name, "lock.", 5) != 0 ||
      !take_field(name, &end, "0123456789abcdef", 8) || n - end != 9 ||
      !take_field(name, &end, digits, 20) ||
      !take_field(name, &end, digits, 10))
    return false;
  *pid = end + 1;
  return end > 5; // there is a host
}

/** Is \a name, of the form of own_name, of an ended process of ours? */
static bool is_ended(const rt_owner *me, const char *name, size_t pid)
{
  char start[128], end[48], *rest;
  snprintf(start, sizeof start, "lock.%.100s.", me->host);
  snprintf(end, sizeof end, ".%.20s.%.8s", me->pid_space, me->boot);
  if (strlen(start) != pid || strncmp(name, start, pid) != 0)
    return false;
  const long number = strtol(name + pid, &rest, 10);
  return strcmp(rest, end) == 0 && number > 0 && kill((pid_t)number, 0) != 0 &&
         errno == ESRCH;
}

/** Remove \a name if a process that was killed while it took the lock left it,
 *  as its own name or as the draft of that. */
static void sweep_name(const rt_owner *me, const char *folder, const char *name)
{
  const double day_s = 86400.0;
  const size_t n = strlen(name), base = rt_draft_base(name, n);
  size_t pid;
  if (!is_own_name(name, base > 0 ? base : n, &pid))
    return;
  const bool ended = base == 0 && is_ended(me, name, pid);
  rt_sweep_one(folder, name, ended ? 0.0 : day_s);
}

void rt_lock_sweep(const char *folder, const char *const *outputs, int n)
{
  static const char *const ours[] = {"lock"};
  const rt_owner me = rt_owner_myself(0.0);
  DIR *const dir = opendir(folder);
  for (struct dirent *e; dir != NULL && (e = readdir(dir)) != NULL;)
    sweep_name(&me, folder, e->d_name);
  if (dir != NULL)
    closedir(dir);
  rt_drafts_sweep(folder, ours, 1);
  rt_drafts_sweep(folder, outputs, n);
}

static rt_err init_door(rt_lock *lock)
{
  char path[RT_PATH_MAX + 16];
  snprintf(path, sizeof path, "%s.takeover", lock->path);
  return rt_door_init(&lock->door, path);
}

rt_err rt_lock_take(const char *folder, double silent_s, rt_lock **out)
{
  *out = NULL;
  const bool was_there = rt_folder_exists(folder);
  RT_TRY(rt_folder_create(folder));
  rt_lock *lock = calloc(1, sizeof *lock);
  RT_CHECK(lock != NULL, RT_ERR_MEM, "a lock of %zu bytes", sizeof *lock);
  rt_err err = rt_path_join(lock->path, folder, "lock");
  if (err == RT_OK)
    err = init_door(lock);
  if (err == RT_OK)
    err = take(lock, silent_s);
  if (err != RT_OK) {
    free(lock);
    if (!was_there)
      rmdir(folder);
    return rt_err_forward(err, __FILE__, __LINE__);
  }
  lock->made_folder = !was_there;
  *out = lock;
  return RT_OK;
}

void rt_lock_refresh(rt_lock *lock)
{
  if (is_ours(lock)) {
    if (utimensat(AT_FDCWD, lock->path, NULL, 0) != 0 && !lock->stale) {
      lock->stale = true;
      rt_warn("%s: its time cannot be set (%s): runs on other hosts may "
              "consider this one dead",
              lock->path, strerror(errno));
    }
  } else if (!lock->lost) {
    lock->lost = true;
    rt_warn("%s no longer belongs to this run: another run may be writing here "
            "too; stop one of them",
            lock->path);
  }
}

/** Remove our lock file while holding the door, because a process examining it
 *  may be about to replace it by its own. */
static void remove_ours(rt_lock *lock)
{
  bool inside = rt_door_enter(&lock->door);
  for (int i = 1; i < TRIES && !inside && errno == EWOULDBLOCK; i++) {
    nap();
    inside = rt_door_enter(&lock->door);
  }
  if (!inside) {
    rt_warn("%s is left behind, since %s cannot be locked: %s; the next run "
            "here takes it over, or remove it",
            lock->path, lock->door.path, strerror(errno));
    return;
  }
  if (is_ours(lock))
    unlink(lock->path);
  rt_door_leave(&lock->door);
}

/** The folder of the lock file. */
static void folder_of(const rt_lock *lock, char folder[RT_PATH_MAX])
{
  snprintf(folder, RT_PATH_MAX, "%.*s",
           (int)(strlen(lock->path) - strlen("lock")), lock->path);
}

void rt_lock_release(rt_lock **lock)
{
  rt_lock *const l = *lock;
  char folder[RT_PATH_MAX];
  *lock = NULL;
  if (l == NULL)
    return;
  if (is_ours(l))
    remove_ours(l);
  folder_of(l, folder);
  if (l->made_folder)
    rmdir(folder); // fails if the folder is not empty, as intended
  free(l);
}
