/** \file test_lock.c
 *  One run per folder: held, released, taken over.
 *  ranks: 1 */
#include "io/common/lock.h"

#include "base/log.h"
#include "io/common/lock_owner.h"
#include "support/rt_test.h"
#include "support/scratch.h"
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <sys/file.h>
#include <sys/syscall.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>

static char folder[RT_PATH_MAX], path[RT_PATH_MAX];

/** A file system that lacks some calls: errno of each, 0 if supported.  These
 *  functions take precedence over the system's. */
static int no_flock, no_fcntl, no_link;

static int fails(int reason)
{
  errno = reason;
  return -1;
}

int flock(int fd, int operation)
{
  return no_flock ? fails(no_flock)
                  : (int)syscall(SYS_flock, fd, (long)operation);
}

int link(const char *from, const char *to)
{
  return no_link ? fails(no_link) : (int)syscall(SYS_link, from, to);
}

int fcntl(int fd, int command, ...)
{
  va_list more;
  va_start(more, command);
  void *const argument = va_arg(more, void *);
  va_end(more);
  return no_fcntl && command == F_OFD_SETLK
             ? fails(no_fcntl)
             : (int)syscall(SYS_fcntl, fd, (long)command, argument);
}

static void begin(void)
{
  rt_log_setup(RT_LOG_INFO, RT_LOG_SILENT);
  unsetenv("SLURM_JOB_ID");
  unsetenv("SLURM_RESTART_COUNT");
  scratch_create(folder);
  RT_OKAY(rt_path_join(path, folder, "lock"));
}

/** A lock as left by another owner \a age_s seconds ago. */
static void leave(const char *text, int age_s)
{
  RT_OKAY(rt_file_put(path, text, strlen(text)));
  const struct timespec then[2] = {{time(NULL) - age_s, 0},
                                   {time(NULL) - age_s, 0}};
  CU_ASSERT_EQUAL(utimensat(AT_FDCWD, path, then, 0), 0);
}

static void this_host(char *text, size_t n, long pid, const char *more)
{
  char host[256] = "";
  gethostname(host, sizeof host - 1);
  char boot[64] = "";
  FILE *const f = fopen("/proc/sys/kernel/random/boot_id", "r");
  CU_ASSERT_PTR_NOT_NULL_FATAL(f);
  CU_ASSERT_PTR_NOT_NULL(fgets(boot, sizeof boot, f));
  fclose(f);
  struct stat space = {0};
  CU_ASSERT_EQUAL(stat("/proc/self/ns/pid", &space), 0);
  snprintf(text, n, "host=%s\nboot=%spid_space=%llu\npid=%ld\n%s", host, boot,
           (unsigned long long)space.st_ino, pid, more);
}

static void expect_taken(void)
{
  rt_lock *lock;
  RT_OKAY(rt_lock_take(folder, 0.0, &lock));
  rt_lock_release(&lock);
  CU_ASSERT_PTR_NULL(lock);
  CU_ASSERT_FALSE(rt_file_exists(path));
}

static void expect_refused(const char *part)
{
  rt_lock *lock;
  RT_FAILS(rt_lock_take(folder, 0.0, &lock), RT_ERR_LOCKED, part);
  CU_ASSERT_PTR_NULL(lock);
  CU_ASSERT_TRUE(rt_file_exists(path));
}

static void test_held(void)
{
  begin();
  rt_lock *lock;
  char deep[RT_PATH_MAX], inside[RT_PATH_MAX], pid[64];
  RT_OKAY(rt_path_join(deep, folder, "a/b")); // made when absent
  RT_OKAY(rt_lock_take(deep, 0.0, &lock));
  rt_lock_release(&lock);
  CU_ASSERT_FALSE(rt_folder_exists(deep)); // nothing came into it
  RT_OKAY(rt_lock_take(deep, 0.0, &lock));
  RT_OKAY(rt_path_join(inside, deep, "deck.yaml"));
  RT_OKAY(rt_file_put(inside, "", 0));
  rt_lock_release(&lock);
  CU_ASSERT_TRUE(rt_file_exists(inside));
  RT_OKAY(rt_lock_take(folder, 0.0, &lock));
  snprintf(pid, sizeof pid, "pid %ld", (long)getpid());
  expect_refused(pid);
  rt_lock_release(&lock);
  CU_ASSERT_PTR_NOT_NULL(strstr(rt_err_text(), pid)); // the error is kept
  rt_lock_release(&lock);                             // NULL is accepted
  expect_taken();
  scratch_remove(folder);
}

/** A live process keeps its lock, however old. */
static void test_alive(void)
{
  begin();
  char text[512];
  this_host(text, sizeof text, (long)getppid(), "job=7\n");
  leave(text, 100000);
  expect_refused("Slurm job 7");
  scratch_remove(folder);
}

static void test_dead(void)
{
  begin();
  const pid_t child = fork();
  if (child == 0)
    _exit(0);
  waitpid(child, NULL, 0);
  char text[512];
  this_host(text, sizeof text, (long)child, "start=12345\n");
  leave(text, 0);
  expect_taken();
  // our own number, but of a process that started at another time
  this_host(text, sizeof text, (long)getpid(), "start=1\n");
  leave(text, 0);
  expect_taken();
  scratch_remove(folder);
}

static void test_other_host(void)
{
  begin();
  leave("host=elsewhere\npid=1\njob=12\nsince=2026-01-01T00:00:00Z\n", 590);
  expect_refused("host elsewhere, pid 1, Slurm job 12, since 2026-01-01");
  leave("host=elsewhere\npid=1\n", 620);
  expect_taken();
  leave("", 10); // by a disk that was full
  expect_refused("host unknown");
  leave("", 620);
  expect_taken();
  scratch_remove(folder);
}

/** The same process number in another PID namespace, or before a reboot, is
 *  another process. */
static void test_other_space(void)
{
  begin();
  char host[256] = "", text[512], other[600];
  gethostname(host, sizeof host - 1);
  const pid_t gone = fork();
  if (gone == 0)
    _exit(0);
  waitpid(gone, NULL, 0);
  this_host(text, sizeof text, (long)gone, "");
  static const char *const line[] = {"boot=", "pid_space="};
  for (int i = 0; i < 2; i++) { // the later line counts
    snprintf(other, sizeof other, "%s%s1\n", text, line[i]);
    leave(other, 100);
    expect_refused("in another container");
    leave(other, 620);
    expect_taken();
  }
  snprintf(other, sizeof other, "host=%s\npid=%ld\n", host, (long)gone);
  leave(other, 100); // by one that does not say
  expect_refused("another container");
  leave(other, 620);
  expect_taken();
  scratch_remove(folder);
}

/** An owner may say that it will be silent for longer, not for less. */
static void test_silence(void)
{
  begin();
  rt_lock *lock;
  char *text;
  size_t n;
  leave("host=elsewhere\npid=1\nsilent_s=6000\n", 5990);
  expect_refused("host elsewhere");
  leave("host=elsewhere\npid=1\nsilent_s=6000\n", 6020);
  expect_taken();
  leave("host=elsewhere\npid=1\nsilent_s=5\n", 590);
  expect_refused("host elsewhere");
  CU_ASSERT_EQUAL(unlink(path), 0);
  RT_OKAY(rt_lock_take(folder, 6000.0, &lock));
  RT_OKAY(rt_file_slurp(path, 1024, &text, &n));
  CU_ASSERT_PTR_NOT_NULL(strstr(text, "\nsilent_s=6000\n"));
  free(text);
  rt_lock_release(&lock);
  scratch_remove(folder);
}

/** Requeued after its node failed: no need to wait for 10 minutes. */
static void test_requeued(void)
{
  begin();
  setenv("SLURM_JOB_ID", "12", 1);
  leave("host=elsewhere\npid=1\njob=12\nrestart=0\n", 5);
  expect_refused("Slurm job 12"); // a second step of the same start
  setenv("SLURM_RESTART_COUNT", "1", 1);
  expect_taken();
  leave("host=elsewhere\npid=1\njob=13\nrestart=0\n", 5);
  expect_refused("Slurm job 13");
  unsetenv("SLURM_JOB_ID");
  unsetenv("SLURM_RESTART_COUNT");
  scratch_remove(folder);
}

static void test_refresh(void)
{
  begin();
  rt_lock *lock;
  struct stat s;
  RT_OKAY(rt_lock_take(folder, 0.0, &lock));
  const struct timespec then[2] = {{1000, 0}, {1000, 0}};
  CU_ASSERT_EQUAL(utimensat(AT_FDCWD, path, then, 0), 0);
  rt_lock_refresh(lock);
  CU_ASSERT_EQUAL(stat(path, &s), 0);
  CU_ASSERT_TRUE(s.st_mtime > 1000);
  // taken over while we slept: not refreshed, not removed
  leave("host=elsewhere\npid=1\n", 100);
  rt_lock_refresh(lock);
  CU_ASSERT_EQUAL(stat(path, &s), 0);
  CU_ASSERT_TRUE(s.st_mtime < time(NULL) - 50);
  rt_lock_release(&lock);
  CU_ASSERT_TRUE(rt_file_exists(path));
  scratch_remove(folder);
}

/** A zombie owner does not hold the lock. */
static void test_zombie(void)
{
  begin();
  const pid_t child = fork();
  if (child == 0) {
    rt_lock *lock;
    _exit(rt_lock_take(folder, 0.0, &lock) != RT_OK);
  }
  siginfo_t how;
  CU_ASSERT_EQUAL(waitid(P_PID, (id_t)child, &how, WEXITED | WNOWAIT), 0);
  CU_ASSERT_EQUAL(how.si_status, 0);
  rt_lock *lock;
  RT_OKAY(rt_lock_take(folder, 0.0, &lock));
  rt_lock_release(&lock);
  CU_ASSERT_EQUAL(waitpid(child, NULL, 0), child);
  scratch_remove(folder);
}

/** Many processes find a dead owner's lock at the same time; one gets it.  It
 *  lives until all have tried, because a lock whose process has ended may be
 *  taken over. */
static void test_race(void)
{
  enum { N = 16 };
  begin();
  for (int round = 0; round < 5; round++) {
    int said[2], stay[2];
    leave("host=elsewhere\npid=1\n", 10000);
    CU_ASSERT_EQUAL_FATAL(pipe(said), 0);
    CU_ASSERT_EQUAL_FATAL(pipe(stay), 0);
    for (int i = 0; i < N; i++)
      if (fork() == 0) {
        rt_lock *lock;
        char mine = rt_lock_take(folder, 0.0, &lock) == RT_OK;
        close(stay[1]);
        const bool heard = write(said[1], &mine, 1) == 1 &&
                           read(stay[0], &mine, 1) == 0; // until it closes
        _exit(!heard);
      }
    int winners = 0;
    for (int i = 0; i < N; i++) {
      char mine = 0;
      CU_ASSERT_EQUAL(read(said[0], &mine, 1), 1);
      winners += mine;
    }
    close(stay[1]);
    for (int i = 0; i < N; i++) {
      int status = 1;
      CU_ASSERT_TRUE(wait(&status) > 0);
      CU_ASSERT_EQUAL(status, 0);
    }
    close(said[0]), close(said[1]), close(stay[0]);
    CU_ASSERT_EQUAL(winners, 1);
  }
  scratch_remove(folder);
}

/** Take and release often: how many times was it refused for another reason
 *  than that somebody has it, or had somebody else it, too? */
static int churn(const char *alone, int times)
{
  int n_bad = 0;
  for (int k = 0; k < times; k++) {
    rt_lock *lock;
    const rt_err err = rt_lock_take(folder, 0.0, &lock);
    if (err != RT_OK) {
      n_bad +=
          err != RT_ERR_LOCKED || strstr(rt_err_text(), "another run") == NULL;
      continue;
    }
    const int fd = open(alone, O_CREAT | O_EXCL | O_WRONLY, 0666);
    n_bad += fd < 0 || close(fd) != 0 || unlink(alone) != 0;
    rt_lock_release(&lock);
  }
  return n_bad;
}

static void test_churn(void)
{
  enum { N = 6, TIMES = 60 };
  begin();
  char alone[RT_PATH_MAX];
  RT_OKAY(rt_path_join(alone, folder, "alone"));
  for (int i = 0; i < N; i++)
    if (fork() == 0)
      _exit(churn(alone, TIMES) > 0);
  for (int i = 0; i < N; i++) {
    int status = 1;
    CU_ASSERT_TRUE(wait(&status) > 0);
    CU_ASSERT_EQUAL(status, 0);
  }
  CU_ASSERT_FALSE(rt_file_exists(path));
  scratch_remove(folder);
}

/** A process takes the lock over at the moment when its owner releases it. */
static void test_release_waits(void)
{
  begin();
  static const char theirs[] = "host=elsewhere\npid=1\n";
  rt_lock *lock;
  int said[2], status = 1;
  char door[RT_PATH_MAX + 16], byte = 0;
  snprintf(door, sizeof door, "%s.takeover", path);
  CU_ASSERT_EQUAL_FATAL(pipe(said), 0);
  RT_OKAY(rt_lock_take(folder, 0.0, &lock));
  const pid_t judge = fork();
  if (judge == 0) {
    const int fd = open(door, O_RDWR | O_CREAT, 0666);
    bool good = flock(fd, LOCK_EX) == 0 && write(said[1], &byte, 1) == 1;
    nanosleep(&(struct timespec){0, 200000000L}, NULL);
    good = good && rt_file_exists(path) && // what it judges does not go away
           rt_file_put(path, theirs, strlen(theirs)) == RT_OK;
    unlink(door);
    _exit(!good);
  }
  CU_ASSERT_EQUAL(read(said[0], &byte, 1), 1);
  rt_lock_release(&lock);
  CU_ASSERT_EQUAL(waitpid(judge, &status, 0), judge);
  CU_ASSERT_EQUAL(status, 0);
  CU_ASSERT_TRUE(rt_file_exists(path)); // the other one's
  close(said[0]), close(said[1]);
  scratch_remove(folder);
}

/** The door of a killed process is open. */
static void test_door(void)
{
  begin();
  char door[RT_PATH_MAX + 16];
  snprintf(door, sizeof door, "%s.takeover", path);
  leave("host=elsewhere\npid=1\n", 10000);
  const int fd = open(door, O_RDWR | O_CREAT, 0666);
  CU_ASSERT_EQUAL(flock(fd, LOCK_EX), 0);
  expect_refused("lock.takeover is locked");
  close(fd);
  expect_taken();
  CU_ASSERT_FALSE(rt_file_exists(door));
  // an old door that was left: its age says nothing
  RT_OKAY(rt_file_put(door, "", 0));
  const struct timespec then[2] = {{1000, 0}, {1000, 0}};
  CU_ASSERT_EQUAL(utimensat(AT_FDCWD, door, then, 0), 0);
  leave("host=elsewhere\npid=1\n", 620);
  expect_taken();
  scratch_remove(folder);
}

static void set_lacking(int of_flock, int of_fcntl, int of_link)
{
  no_flock = of_flock;
  no_fcntl = of_fcntl;
  no_link = of_link;
}

/** Held, refused, released and taken over, whatever the file system lacks. */
static void test_lacking(void)
{
  static const int reasons[] = {ENOSYS, ENOLCK, EPERM, EOPNOTSUPP, 524};
  begin();
  for (int what = 1; what < 8; what++)
    for (int i = 0; i < (what == 7 ? 5 : 1); i++) {
      rt_lock *lock;
      set_lacking(what & 1 ? reasons[i] : 0, what & 2 ? reasons[i] : 0,
                  what & 4 ? reasons[i] : 0);
      RT_OKAY(rt_lock_take(folder, 0.0, &lock));
      expect_refused("another run works here");
      rt_lock_release(&lock);
      CU_ASSERT_FALSE(rt_file_exists(path));
      leave("host=elsewhere\npid=1\n", 620);
      expect_taken();
    }
  set_lacking(0, 0, 0);
  scratch_remove(folder);
}

static void test_lacking_race(void)
{
  set_lacking(ENOSYS, ENOSYS, EPERM);
  test_race();
  test_churn();
  set_lacking(0, 0, 0);
}

/** The file that represents the lock of a door is left behind by a killed
 *  process. */
static void test_left_name(void)
{
  begin();
  set_lacking(ENOSYS, ENOSYS, 0);
  char held[RT_PATH_MAX + 32];
  snprintf(held, sizeof held, "%s.takeover.held", path);
  leave("host=elsewhere\npid=1\n", 10000);
  RT_OKAY(rt_file_put(held, "", 0));
  expect_refused("lock.takeover is locked");
  const struct timespec then[2] = {{time(NULL) - 70, 0}, {time(NULL) - 70, 0}};
  CU_ASSERT_EQUAL(utimensat(AT_FDCWD, held, then, 0), 0);
  expect_taken();
  CU_ASSERT_FALSE(rt_file_exists(held));
  set_lacking(0, 0, 0);
  scratch_remove(folder);
}

static void test_cannot(void)
{
  begin();
  rt_lock *lock;
  RT_FAILS(rt_lock_take("/proc/nothing", 0.0, &lock), RT_ERR_LOCKED, "/proc");
  scratch_remove(folder);
}

/** The number of a process that has ended. */
static long dead_pid(void)
{
  const pid_t child = fork();
  if (child == 0)
    _exit(0);
  waitpid(child, NULL, 0);
  return (long)child;
}

/** Is there FOLDER/NAME after another run has taken the folder, and, if \a
 * ours, found that it is Retort's?  \a age_s: of the file then. */
static bool remains(const char *name, int age_s, bool ours)
{
  static const char *const outputs[] = {"README.md", "deck.yaml"};
  rt_lock *lock = NULL;
  char file[RT_PATH_MAX];
  const struct timespec then[2] = {{time(NULL) - age_s, 0},
                                   {time(NULL) - age_s, 0}};
  RT_OKAY(rt_path_join(file, folder, name));
  RT_OKAY(rt_file_put(file, "x", 1));
  CU_ASSERT_EQUAL(utimensat(AT_FDCWD, file, then, 0), 0);
  RT_OKAY(rt_lock_take(folder, 0.0, &lock));
  if (ours)
    rt_lock_sweep(folder, outputs, 2);
  rt_lock_release(&lock);
  return rt_file_exists(file);
}

static bool stays(const char *name, int age_s)
{
  return remains(name, age_s, true);
}

enum { OLD = 100000 }; // more than a day

/** What a killed run was about to rename goes, but nothing that may be of a
 *  living one. */
static void test_leftovers(void)
{
  const rt_owner me = rt_owner_myself(0.0);
  const long dead = dead_pid();
  char name[512], draft[800];
  begin();
  // of this host, in whatever container: its number tells nothing
  snprintf(name, sizeof name, "README.md.tmp.%s.%ld", me.host, dead);
  CU_ASSERT_TRUE(stays(name, 3600));
  CU_ASSERT_FALSE(stays(name, OLD));
  CU_ASSERT_FALSE(stays("deck.yaml.tmp.other.host.12", OLD));
  CU_ASSERT_FALSE(stays("lock.tmp.other-host.12", OLD));
  const char *const form = "lock.%s.%ld.%s.%.8s";
  snprintf(name, sizeof name, form, me.host, dead, me.pid_space, me.boot);
  CU_ASSERT_FALSE(stays(name, 1));
  snprintf(draft, sizeof draft, "%s.tmp.%s.%ld", name, me.host, dead);
  CU_ASSERT_TRUE(stays(draft, 3600));
  CU_ASSERT_FALSE(stays(draft, OLD));
  snprintf(name, sizeof name, form, me.host, (long)getppid(), me.pid_space,
           me.boot);
  CU_ASSERT_TRUE(stays(name, 1));
  snprintf(name, sizeof name, form, me.host, dead, me.pid_space, "0123abcd");
  CU_ASSERT_TRUE(stays(name, 3600)); // of another machine of this name
  CU_ASSERT_FALSE(stays(name, OLD));
  scratch_remove(folder);
}

/** Similar names are the user's files, and any name is in a folder that is not
 *  Retort's. */
static void test_users_files(void)
{
  static const char *const users[] = {
      "results.tmp.csv",       "results.tmp.host.12", "README.md.tmp.csv",
      "README.md.tmp.12",      "README.md.tmp..12",   "README.md.tmp.host.12a",
      "x.README.md.tmp.h.12",  "README.md.x.tmp.h.1", "notes.tmp",
      "lock.a.b.c.d",          "lock.notes",          "lock.a.1.2.0123abcg",
      "lock.1.2.0123abcd",     "lock.a.x.2.0123abcd", "lock.a.1.y.0123abcd",
      "lock.a.1.2.0123abcd.gz"};
  begin();
  for (size_t i = 0; i < sizeof users / sizeof users[0]; i++)
    CU_ASSERT_TRUE(stays(users[i], OLD));
  CU_ASSERT_TRUE(remains("README.md.tmp.host.12", OLD, false));
  CU_ASSERT_TRUE(remains("lock.a.1.2.0123abcd", OLD, false));
  CU_ASSERT_FALSE(stays("lock.a.1.2.0123abcd", OLD));
  scratch_remove(folder);
}

/** The draft of a long export holds a lock. */
static void test_leftover_in_use(void)
{
  const rt_owner me = rt_owner_myself(0.0);
  static const char *const outputs[] = {"x.jsonl"};
  const struct timespec then[2] = {{1000, 0}, {1000, 0}};
  char name[512], file[RT_PATH_MAX];
  begin();
  snprintf(name, sizeof name, "x.jsonl.tmp.%s.%ld", me.host, dead_pid());
  RT_OKAY(rt_path_join(file, folder, name));
  RT_OKAY(rt_file_put(file, "x", 1));
  CU_ASSERT_EQUAL(utimensat(AT_FDCWD, file, then, 0), 0);
  const int fd = open(file, O_RDONLY);
  CU_ASSERT_EQUAL(flock(fd, LOCK_EX), 0);
  rt_lock_sweep(folder, outputs, 1);
  CU_ASSERT_TRUE(rt_file_exists(file));
  close(fd);
  rt_lock_sweep(folder, outputs, 1);
  CU_ASSERT_FALSE(rt_file_exists(file));
  scratch_remove(folder);
}

RT_TEST_MAIN("lock", {"held and released", test_held},
             {"a living owner keeps it", test_alive},
             {"a dead owner loses it", test_dead},
             {"another host has 10 minutes", test_other_host},
             {"another container has 10 minutes", test_other_space},
             {"an owner says how long it may be silent", test_silence},
             {"a requeued job goes on at once", test_requeued},
             {"refresh", test_refresh}, {"a zombie holds nothing", test_zombie},
             {"one of many gets it", test_race},
             {"taken and released by many", test_churn},
             {"a release waits for a judge", test_release_waits},
             {"the door opens with its judge's end", test_door},
             {"file systems without locks or links", test_lacking},
             {"one of many gets it there, too", test_lacking_race},
             {"a left door opens there after a minute", test_left_name},
             {"where no lock can be", test_cannot},
             {"what killed runs left", test_leftovers},
             {"files of the user's", test_users_files},
             {"a draft in use", test_leftover_in_use})
