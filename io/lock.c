/** \file lock.c
 *  The lock file of an output folder. */
#include "io/lock.h"

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

enum { TEXT_MAX = 1024, STALE_S = 600, TRIES = 40, TRY_MS = 50 };

struct rt_lock {
  char path[RT_PATH_MAX];
  char text[TEXT_MAX]; // what we wrote
  bool lost;           // another run took over, and it was said
};

/** Who holds a lock; "" and 0 where its file does not say. */
typedef struct owner {
  char host[256], job[128], since[64];
  long pid;
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

static owner myself(void)
{
  owner me = {.pid = (long)getpid(), .start = start_of((long)getpid())};
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
           "host=%s\npid=%ld\nstart=%llu\njob=%s\nrestart=%d\nsince=%s\n",
           o->host, o->pid, o->start, o->job, o->restart, o->since);
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
  return o;
}

/** Why the owner is surely gone, given the age of its lock; NULL: it may live.
 */
static const char *why_gone(const owner *o, const owner *me, double age_s)
{
  if (o->job[0] != '\0' && strcmp(o->job, me->job) == 0 &&
      o->restart < me->restart)
    return "this Slurm job was started again";
  if (o->pid > 0 && strcmp(o->host, me->host) == 0) {
    if (kill((pid_t)o->pid, 0) != 0 && errno == ESRCH)
      return "its process is gone";
    const unsigned long long start = start_of(o->pid);
    return o->start != 0 && start != 0 && start != o->start
               ? start == ENDED
                     ? "its process is gone"
                     : "its process is gone (another one has its number)"
               : NULL;
  }
  return age_s > STALE_S ? "it gave no sign for more than 10 minutes" : NULL;
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

/** The door is the file that all judges lock; the system unlocks it when its
 *  holder is killed.  *fd < 0: another run is judging. */
static rt_err close_door(const char *door, int *fd)
{
  struct stat there, ours;
  *fd = open(door, O_RDWR | O_CREAT | O_CLOEXEC, 0666);
  RT_CHECK(*fd >= 0, RT_ERR_LOCKED, "cannot open %s: %s", door,
           strerror(errno));
  const int failed = flock(*fd, LOCK_EX | LOCK_NB), reason = errno;
  // one that its last holder has removed by now is no door any more
  if (failed == 0 && fstat(*fd, &ours) == 0 && stat(door, &there) == 0 &&
      ours.st_ino == there.st_ino && futimens(*fd, NULL) == 0)
    return RT_OK;
  close(*fd);
  *fd = -1;
  RT_CHECK(failed == 0 || reason == EWOULDBLOCK, RT_ERR_LOCKED,
           "cannot lock %s: %s; remove the file \"lock\" beside it if the run "
           "that it names is gone",
           door, strerror(reason));
  return RT_OK;
}

/** With the door closed behind us (FOLDER/lock.takeover): refuse, or take over.
 *  The door's age is the file system's idea of now. */
static rt_err judge(const rt_lock *lock, const char *door, const owner *me)
{
  char *text;
  size_t n;
  struct stat its, now;
  RT_TRY(rt_file_slurp(lock->path, TEXT_MAX, &text, &n));
  const owner o = parse(text);
  free(text);
  RT_CHECK(stat(lock->path, &its) == 0 && stat(door, &now) == 0, RT_ERR_IO,
           "cannot look at %s: %s", lock->path, strerror(errno));
  const double age_s = difftime(now.st_mtime, its.st_mtime);
  const char *const why = why_gone(&o, me, age_s);
  RT_CHECK(why != NULL, RT_ERR_LOCKED,
           "%s: another run works here: host %s, pid %ld, Slurm job %s, since "
           "%s, last sign %.0f s ago; wait for it, stop it, or choose another "
           "folder (remove this file only if that run is gone)",
           lock->path, o.host[0] ? o.host : "unknown", o.pid,
           o.job[0] ? o.job : "none", o.since[0] ? o.since : "unknown", age_s);
  RT_TRY(rt_file_put(lock->path, lock->text, strlen(lock->text)));
  rt_warn("%s: taken over from host %s, pid %ld: %s", lock->path, o.host, o.pid,
          why);
  return RT_OK;
}

/** One try at the lock file; *done: we have it. */
static rt_err try_once(const rt_lock *lock, const owner *me, bool *done)
{
  RT_TRY(create(lock, me, done));
  if (*done)
    return RT_OK;
  char door[RT_PATH_MAX];
  int fd;
  const int n = snprintf(door, sizeof door, "%s.takeover", lock->path);
  RT_CHECK(n < RT_PATH_MAX, RT_ERR_CONFIG, "path is too long: %.80s...", door);
  RT_TRY(close_door(door, &fd));
  if (fd < 0)
    return RT_OK;
  rt_err err = RT_OK;
  *done = rt_file_exists(lock->path); // else released meanwhile: try again
  if (*done)
    err = judge(lock, door, me);
  unlink(door);
  close(fd);
  RT_TRY(err);
  return RT_OK;
}

static rt_err take(rt_lock *lock)
{
  const owner me = myself();
  print(&me, lock->text);
  bool done = false;
  for (int i = 0; i < TRIES; i++) {
    RT_TRY(try_once(lock, &me, &done));
    if (done)
      return RT_OK;
    nanosleep(&(struct timespec){0, TRY_MS * 1000000L}, NULL);
  }
  return RT_FAIL(RT_ERR_LOCKED,
                 "%s.takeover is locked: another run is about to take this "
                 "folder; try again",
                 lock->path);
}

rt_err rt_lock_take(const char *folder, rt_lock **out)
{
  *out = NULL;
  RT_TRY(rt_folder_create(folder));
  rt_lock *lock = calloc(1, sizeof *lock);
  RT_CHECK(lock != NULL, RT_ERR_MEM, "a lock of %zu bytes", sizeof *lock);
  rt_err err = rt_path_join(lock->path, folder, "lock");
  if (err == RT_OK)
    err = take(lock);
  if (err != RT_OK) {
    free(lock);
    return rt_err_forward(err, __FILE__, __LINE__);
  }
  *out = lock;
  return RT_OK;
}

static bool is_ours(const rt_lock *lock)
{
  char *text;
  size_t n;
  if (rt_file_slurp(lock->path, TEXT_MAX, &text, &n) != RT_OK)
    return false;
  const bool ours = strcmp(text, lock->text) == 0;
  free(text);
  return ours;
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

void rt_lock_release(rt_lock **lock)
{
  if (*lock == NULL)
    return;
  if (is_ours(*lock))
    unlink((*lock)->path);
  free(*lock);
  *lock = NULL;
}
