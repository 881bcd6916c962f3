/** \file lock.c
 *  The lock file of an output folder. */
#include "io/common/lock.h"

#include "base/clock.h"
#include "base/file.h"
#include "base/log.h"
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum {
  TEXT_MAX = 1024,
  WHY_MAX = 128,
  SILENT_S = 600, // of an owner that does not say, and at least
  TRIES = 40,
  TRY_MS = 50
};

struct rt_lock {
  char path[RT_PATH_MAX];
  char text[TEXT_MAX]; // what we wrote
  bool lost;           // another run took over, and it was said
  bool made_folder;    // which was not there before
};

/** Who holds a lock; "" and 0 where its file does not say. */
typedef struct owner {
  char host[256], job[128], since[64];
  long pid, silent_s;       // how long it may give no sign
  unsigned long long start; // of the process, in clock ticks after boot
  int restart;              // of the Slurm job
} owner;

enum { ENDED = 1 }; // no process that writes locks starts at this tick

/** When process \a pid started; 0 when the system does not tell; ENDED when it
 *  only waits for its parent to look (after a crash, for seconds).  Tells a
 *  process from a later one with the same number. */
static unsigned long long start_of(long pid)
{
  char path[64], *text = NULL;
  size_t n;
  snprintf(path, sizeof path, "/proc/%ld/stat", pid);
  FILE *const f = fopen(path, "r");
  if (f == NULL)
    return 0;
  unsigned long long start = 0;
  // the name in parentheses may hold anything; field 22 is the 20th after it
  if (getdelim(&text, &(size_t){0}, '\0', f) > 0) {
    const char *c = strrchr(text, ')');
    const bool ended = c != NULL && strncmp(c, ") Z", 3) == 0;
    for (n = 0; n < 20 && c != NULL; n++)
      c = strchr(c + 1, ' ');
    if (c != NULL)
      start = ended ? ENDED : strtoull(c, NULL, 10);
  }
  free(text);
  fclose(f);
  return start;
}

static owner myself(double silent_s)
{
  owner me = {.pid = (long)getpid(),
              .start = start_of((long)getpid()),
              .silent_s = (long)silent_s};
  gethostname(me.host, sizeof me.host - 1);
  const char *const job = getenv("SLURM_JOB_ID");
  const char *const restart = getenv("SLURM_RESTART_COUNT");
  snprintf(me.job, sizeof me.job, "%s", job != NULL ? job : "");
  me.restart = restart != NULL ? atoi(restart) : 0;
  rt_clock_iso(me.since, sizeof me.since);
  return me;
}

static void print(const owner *o, char text[TEXT_MAX])
{
  snprintf(text, TEXT_MAX,
           "host=%s\npid=%ld\nstart=%llu\njob=%s\nrestart=%d\nsince=%s\n"
           "silent_s=%ld\n",
           o->host, o->pid, o->start, o->job, o->restart, o->since,
           o->silent_s);
}

/** The value of "key=value" in a text of lines, into \a to [n]. */
static void value_of(const char *text, const char *key, char *to, size_t n)
{
  to[0] = '\0';
  for (const char *line = text; line != NULL && *line != '\0';) {
    const char *const end = strchrnul(line, '\n');
    if (strncmp(line, key, strlen(key)) == 0)
      snprintf(to, n, "%.*s", (int)(end - line - (long)strlen(key)),
               line + strlen(key));
    line = *end == '\n' ? end + 1 : NULL;
  }
}

static owner parse(const char *text)
{
  owner o;
  char number[64];
  value_of(text, "host=", o.host, sizeof o.host);
  value_of(text, "job=", o.job, sizeof o.job);
  value_of(text, "since=", o.since, sizeof o.since);
  value_of(text, "pid=", number, sizeof number);
  o.pid = strtol(number, NULL, 10);
  value_of(text, "start=", number, sizeof number);
  o.start = strtoull(number, NULL, 10);
  value_of(text, "restart=", number, sizeof number);
  o.restart = (int)strtol(number, NULL, 10);
  value_of(text, "silent_s=", number, sizeof number);
  o.silent_s = strtol(number, NULL, 10);
  return o;
}

/** Is the process \a o of this host gone? */
static bool process_gone(const owner *o, char why[WHY_MAX])
{
  snprintf(why, WHY_MAX, "its process is gone");
  if (kill((pid_t)o->pid, 0) != 0 && errno == ESRCH)
    return true;
  const unsigned long long start = start_of(o->pid);
  if (o->start == 0 || start == 0 || start == o->start)
    return false;
  if (start != ENDED)
    snprintf(why, WHY_MAX, "its process is gone (another one has its number)");
  return true;
}

/** Is the owner surely gone, given the age of its lock?  Why. */
static bool is_gone(const owner *o, const owner *me, double age_s,
                    char why[WHY_MAX])
{
  const long silent_s = o->silent_s > SILENT_S ? o->silent_s : SILENT_S;
  snprintf(why, WHY_MAX, "this Slurm job was started again");
  if (o->job[0] != '\0' && strcmp(o->job, me->job) == 0 &&
      o->restart < me->restart)
    return true;
  if (o->pid > 0 && strcmp(o->host, me->host) == 0)
    return process_gone(o, why);
  snprintf(why, WHY_MAX, "it gave no sign for more than %ld s", silent_s);
  return age_s > (double)silent_s;
}

/** Create the lock file whole, by a link: a run that is killed on the way
 * leaves no empty one.  *made is false when there is one already. */
static rt_err create(const rt_lock *lock, const owner *me, bool *made)
{
  char mine[RT_PATH_MAX];
  const int n = snprintf(mine, sizeof mine, "%s.%.100s.%ld", lock->path,
                         me->host, me->pid);
  RT_CHECK(n < RT_PATH_MAX, RT_ERR_CONFIG, "path is too long: %.80s...", mine);
  RT_TRY(rt_file_put(mine, lock->text, strlen(lock->text)));
  const int failed = link(mine, lock->path), reason = errno;
  *made = failed == 0;
  unlink(mine);
  RT_CHECK(failed == 0 || reason == EEXIST, RT_ERR_LOCKED,
           "cannot create %s, a hard link: %s; choose an output folder on a "
           "file system that has them",
           lock->path, strerror(reason));
  return RT_OK;
}

/** What the lock file says; false, with errno, when it cannot be read. */
static bool read_text(const rt_lock *lock, char text[TEXT_MAX])
{
  const int fd = open(lock->path, O_RDONLY | O_CLOEXEC);
  if (fd < 0)
    return false;
  const ssize_t n = read(fd, text, TEXT_MAX - 1); // it is no longer than that
  const int reason = errno;
  close(fd);
  errno = reason;
  text[n > 0 ? n : 0] = '\0';
  return n >= 0;
}

static rt_err door_of(const rt_lock *lock, char door[RT_PATH_MAX])
{
  const int n = snprintf(door, RT_PATH_MAX, "%s.takeover", lock->path);
  RT_CHECK(n < RT_PATH_MAX, RT_ERR_CONFIG, "path is too long: %.80s...", door);
  return RT_OK;
}

/** The door is the file that all lock who judge the lock file or remove it; the
 *  system unlocks it when its holder is killed.  A descriptor, or -1 with
 *  errno: EWOULDBLOCK while another process is behind it. */
static int close_door(const char *door)
{
  struct stat there, ours;
  const int fd = open(door, O_RDWR | O_CREAT | O_CLOEXEC, 0666);
  if (fd < 0)
    return -1;
  const int failed = flock(fd, LOCK_EX | LOCK_NB);
  int reason = failed != 0 ? errno : EWOULDBLOCK;
  // one that its last holder has removed by now is no door any more
  if (failed == 0 && fstat(fd, &ours) == 0 && stat(door, &there) == 0 &&
      ours.st_ino == there.st_ino) {
    if (futimens(fd, NULL) == 0) // its age is the file system's idea of now
      return fd;
    reason = errno;
  }
  close(fd);
  errno = reason;
  return -1;
}

static void open_door(const char *door, int fd)
{
  unlink(door);
  close(fd);
}

/** Behind the door: refuse, or take over; *done: we have it.  A lock that goes
 *  away meanwhile (its folder was cleaned by hand) is one to try again. */
static rt_err judge(const rt_lock *lock, const char *door, const owner *me,
                    bool *done)
{
  char text[TEXT_MAX], why[WHY_MAX];
  struct stat its, now;
  const bool there = read_text(lock, text) && stat(lock->path, &its) == 0;
  if (!there && errno == ENOENT)
    return RT_OK;
  RT_CHECK(there && stat(door, &now) == 0, RT_ERR_IO, "cannot look at %s: %s",
           lock->path, strerror(errno));
  const owner o = parse(text);
  const double age_s = difftime(now.st_mtime, its.st_mtime);
  RT_CHECK(is_gone(&o, me, age_s, why), RT_ERR_LOCKED,
           "%s: another run works here: host %s, pid %ld, Slurm job %s, since "
           "%s, last sign %.0f s ago; wait for it, stop it, or choose another "
           "folder (remove this file only if that run is gone)",
           lock->path, o.host[0] ? o.host : "unknown", o.pid,
           o.job[0] ? o.job : "none", o.since[0] ? o.since : "unknown", age_s);
  RT_TRY(rt_file_put(lock->path, lock->text, strlen(lock->text)));
  rt_warn("%s: taken over from host %s, pid %ld: %s", lock->path, o.host, o.pid,
          why);
  *done = true;
  return RT_OK;
}

/** One try at the lock file; *done: we have it. */
static rt_err try_once(const rt_lock *lock, const owner *me, bool *done)
{
  char door[RT_PATH_MAX];
  RT_TRY(create(lock, me, done));
  if (*done)
    return RT_OK;
  RT_TRY(door_of(lock, door));
  const int fd = close_door(door);
  RT_CHECK(fd >= 0 || errno == EWOULDBLOCK, RT_ERR_LOCKED,
           "cannot lock %s: %s; remove the file \"lock\" beside it if the run "
           "that it names is gone",
           door, strerror(errno));
  if (fd < 0)
    return RT_OK;
  const rt_err err = judge(lock, door, me, done);
  open_door(door, fd);
  return err;
}

static void nap(void)
{
  nanosleep(&(struct timespec){0, TRY_MS * 1000000L}, NULL);
}

static rt_err take(rt_lock *lock, double silent_s)
{
  const owner me = myself(silent_s);
  print(&me, lock->text);
  bool done = false;
  for (int i = 0; i < TRIES; i++) {
    RT_TRY(try_once(lock, &me, &done));
    if (done)
      return RT_OK;
    nap();
  }
  return RT_FAIL(RT_ERR_LOCKED,
                 "%s.takeover is locked: another run is about to take this "
                 "folder; try again",
                 lock->path);
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

static bool is_ours(const rt_lock *lock)
{
  char text[TEXT_MAX];
  return read_text(lock, text) && strcmp(text, lock->text) == 0;
}

void rt_lock_refresh(rt_lock *lock)
{
  if (is_ours(lock))
    utimensat(AT_FDCWD, lock->path, NULL, 0);
  else if (!lock->lost) {
    lock->lost = true;
    rt_warn("%s is not ours any more: another run may write here too; stop one "
            "of them",
            lock->path);
  }
}

/** Behind the door: who judges it may be about to make it its own, and that
 *  must stay. */
static void remove_ours(const rt_lock *lock, const char *door)
{
  int fd = close_door(door);
  for (int i = 1; i < TRIES && fd < 0 && errno == EWOULDBLOCK; i++) {
    nap();
    fd = close_door(door);
  }
  if (fd < 0) {
    rt_warn("%s is left behind, since %s cannot be locked: %s; the next run "
            "here takes it over, or remove it",
            lock->path, door, strerror(errno));
    return;
  }
  if (is_ours(lock))
    unlink(lock->path);
  open_door(door, fd);
}

/** FOLDER/lock without its name. */
static void folder_of(const rt_lock *lock, char folder[RT_PATH_MAX])
{
  snprintf(folder, RT_PATH_MAX, "%.*s",
           (int)(strlen(lock->path) - strlen("lock")), lock->path);
}

void rt_lock_release(rt_lock **lock)
{
  rt_lock *const l = *lock;
  char door[RT_PATH_MAX], folder[RT_PATH_MAX];
  *lock = NULL;
  if (l == NULL)
    return;
  if (is_ours(l) && door_of(l, door) == RT_OK)
    remove_ours(l, door);
  folder_of(l, folder);
  if (l->made_folder)
    rmdir(folder); // which does nothing to one that holds anything
  free(l);
}
