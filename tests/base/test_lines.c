/** \file test_lines.c
 *  Files of lines on a disk that is full for a while: here a limit of the size
 * of files, at which a write is short and the next one fails. ranks: 1 */
#include "base/lines.h"

#include "base/log.h"
#include "support/rt_test.h"
#include "support/scratch.h"
#include <errno.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/syscall.h>

static char folder[RT_PATH_MAX], path[RT_PATH_MAX], kept[64];

/** If not 0, the next write stops halfway, and the one after that fails, before
 *  which another thread writes this. */
static const char *other;
static bool halfway;

/** Precedes the system's. */
ssize_t write(int fd, const void *from, size_t n)
{
  if (halfway) {
    syscall(SYS_write, fd, other, strlen(other));
    other = NULL;
    halfway = false;
    errno = ENOSPC;
    return -1;
  }
  halfway = other != NULL;
  return (ssize_t)syscall(SYS_write, fd, from, halfway ? n / 2 : n);
}

/** The size that files may have. */
static void limit(rlim_t bytes)
{
  struct rlimit max;
  CU_ASSERT_EQUAL(getrlimit(RLIMIT_FSIZE, &max), 0);
  max.rlim_cur = bytes;
  CU_ASSERT_EQUAL(setrlimit(RLIMIT_FSIZE, &max), 0);
}

static void begin(rt_lines *l)
{
  signal(SIGXFSZ, SIG_IGN); // as in the program: the write fails instead
  scratch_create(folder);
  RT_OKAY(rt_path_join(path, folder, "lines"));
  *l = (rt_lines){.fd = open(path, O_WRONLY | O_CREAT | O_APPEND, 0644),
                  .path = path,
                  .kept = kept,
                  .room = sizeof kept};
}

static void end(rt_lines *l)
{
  close(l->fd);
  scratch_remove(folder);
}

static bool holds(const char *want)
{
  char *text;
  size_t n;
  RT_OKAY(rt_file_slurp(path, 1 << 20, &text, &n));
  const bool same = strcmp(text, want) == 0;
  if (!same)
    fprintf(stderr, "got \"%s\"\n", text);
  free(text);
  return same;
}

static int put(rt_lines *l, const char *text)
{
  return rt_lines_put(l, text, strlen(text));
}

static void test_full(void)
{
  rt_lines l;
  char why[RT_LINES_WHY];
  begin(&l);
  CU_ASSERT_EQUAL(put(&l, "first\n"), 0);
  limit(15);
  CU_ASSERT_EQUAL(put(&l, "second\n"), 0);
  CU_ASSERT_EQUAL(put(&l, "third\n"), EFBIG);
  CU_ASSERT_TRUE(holds("first\nsecond\n")); // no part of a line
  rt_lines_why(&l, EFBIG, why);
  CU_ASSERT_PTR_NOT_NULL(strstr(why, path));
  CU_ASSERT_PTR_NOT_NULL(strstr(why, "6 bytes are needed"));
  CU_ASSERT_EQUAL(put(&l, "fourth\n"), EFBIG);
  CU_ASSERT_EQUAL(rt_lines_kept(&l), 2);
  limit(21); // room for one of two
  CU_ASSERT_EQUAL(rt_lines_write(&l), EFBIG);
  CU_ASSERT_TRUE(holds("first\nsecond\nthird\n"));
  CU_ASSERT_EQUAL(rt_lines_kept(&l), 1);
  limit(RLIM_INFINITY);
  CU_ASSERT_EQUAL(put(&l, "fifth\n"), 0);
  CU_ASSERT_TRUE(holds("first\nsecond\nthird\nfourth\nfifth\n"));
  CU_ASSERT_EQUAL(l.n_lost, 0);
  end(&l);
}

/** What has no room in memory either is counted. */
static void test_lost(void)
{
  rt_lines l;
  begin(&l);
  limit(0);
  for (int i = 0; i < 9; i++)
    CU_ASSERT_EQUAL(put(&l, "ten bytes\n"), EFBIG);
  CU_ASSERT_EQUAL(rt_lines_kept(&l), 6);
  CU_ASSERT_EQUAL(l.n_lost, 3);
  limit(RLIM_INFINITY);
  CU_ASSERT_EQUAL(put(&l, "last\n"), 0);
  CU_ASSERT_TRUE(holds("ten bytes\nten bytes\nten bytes\nten bytes\n"
                       "ten bytes\nten bytes\nlast\n"));
  end(&l);
}

/** Where the last ones stay, the file says how many are missing before them. */
static void test_last(void)
{
  rt_lines l;
  char line[16];
  begin(&l);
  l.stay = RT_LINES_LAST;
  CU_ASSERT_EQUAL(put(&l, "first\n"), 0);
  limit(10);
  for (int i = 0; i < 9; i++) {
    snprintf(line, sizeof line, "%d of ten b\n", i);
    CU_ASSERT_EQUAL(put(&l, line), EFBIG);
  }
  CU_ASSERT_EQUAL(rt_lines_kept(&l), 5);
  CU_ASSERT_EQUAL(l.n_lost, 4);
  CU_ASSERT_TRUE(holds("first\n"));
  limit(RLIM_INFINITY);
  CU_ASSERT_EQUAL(put(&l, "last\n"), 0);
  CU_ASSERT_TRUE(holds("first\n(4 lines are missing here)\n4 of ten b\n"
                       "5 of ten b\n6 of ten b\n7 of ten b\n8 of ten b\n"
                       "last\n"));
  CU_ASSERT_EQUAL(l.n_lost, 0);
  end(&l);
}

/** What another thread writes meanwhile is neither cut off nor taken for what
 *  was kept. */
static void test_past(void)
{
  rt_lines l;
  begin(&l);
  CU_ASSERT_EQUAL(put(&l, "first\n"), 0);
  other = "another's\n";
  CU_ASSERT_EQUAL(put(&l, "second\n"), ENOSPC);
  CU_ASSERT_EQUAL(rt_lines_kept(&l), 1);
  CU_ASSERT_TRUE(holds("first\nsecanother's\n"));
  CU_ASSERT_EQUAL(put(&l, "third\n"), 0);
  CU_ASSERT_TRUE(holds("first\nsecanother's\nsecond\nthird\n"));
  end(&l);
}

/** Lines from before there is a file come first. */
static void test_before(void)
{
  rt_lines l;
  begin(&l);
  const int fd = l.fd;
  l.fd = -1;
  CU_ASSERT_EQUAL(put(&l, "early\n"), 0);
  CU_ASSERT_TRUE(holds(""));
  l.fd = fd;
  CU_ASSERT_EQUAL(put(&l, "late\n"), 0);
  CU_ASSERT_TRUE(holds("early\nlate\n"));
  end(&l);
}

/** The run's log, with times, which are cut off here. */
static void test_log(void)
{
  rt_lines l;
  char *text;
  size_t n;
  begin(&l);
  rt_log_setup(RT_LOG_QUIET, RT_LOG_SPEAKS);
  rt_log_copy("before");
  RT_OKAY(rt_log_keep(path));
  limit(50);
  rt_log_copy("a line that does not fit");
  rt_log_copy("nor does this");
  RT_OKAY(rt_file_slurp(path, 1 << 20, &text, &n));
  CU_ASSERT_PTR_NOT_NULL(strstr(text, " before\n"));
  CU_ASSERT_EQUAL(text[n - 1], '\n');
  CU_ASSERT_PTR_NULL(strstr(text, "line"));
  free(text);
  limit(RLIM_INFINITY);
  rt_log_copy("the last");
  rt_log_release();
  RT_OKAY(rt_file_slurp(path, 1 << 20, &text, &n));
  const char *const fits = strstr(text, " a line that does not fit\n"),
                    *const nor = strstr(text, " nor does this\n"),
                    *const last = strstr(text, " the last\n");
  CU_ASSERT(fits != NULL && nor > fits && last > nor);
  free(text);
  end(&l);
}

/** Of a long log, the last lines stay, after a count of those that do not; also
 *  if the first write that follows fails once more. */
static void test_long_log(void)
{
  enum { N = 3000 };
  rt_lines l;
  char *text, name[64];
  size_t n;
  begin(&l);
  rt_log_setup(RT_LOG_QUIET, RT_LOG_SPEAKS);
  RT_OKAY(rt_log_keep(path));
  rt_log_copy("before");
  limit(40);
  for (int i = 0; i < N; i++) {
    snprintf(name, sizeof name, "line %d of a log", i);
    rt_log_copy(name);
  }
  limit(RLIM_INFINITY);
  other = "";
  rt_log_copy("the last");
  rt_log_release();
  RT_OKAY(rt_file_slurp(path, 1 << 20, &text, &n));
  int missing = 0;
  char *at = strchr(text, '\n');
  CU_ASSERT_PTR_NOT_NULL_FATAL(at);
  CU_ASSERT_EQUAL(sscanf(at, "\n(%d lines are missing here)\n", &missing), 1);
  CU_ASSERT(missing > 0 && missing < N);
  at = strchr(at + 1, '\n');
  for (int i = missing; i < N && at != NULL; i++) {
    char *const next = strchr(at + 1, '\n');
    snprintf(name, sizeof name, " line %d of a log\n", i);
    CU_ASSERT_PTR_EQUAL(strstr(at, name) + strlen(name) - 1, next);
    at = next;
  }
  CU_ASSERT_PTR_NOT_NULL_FATAL(at);
  CU_ASSERT_PTR_EQUAL(strstr(at, " the last\n") + 10, text + n);
  free(text);
  end(&l);
}

RT_TEST_MAIN("lines", {"a disk that is full for a while", test_full},
             {"too many lines", test_lost},
             {"the last of too many lines", test_last},
             {"a thread that writes past", test_past},
             {"lines before a file", test_before},
             {"the log of a run", test_log}, {"a long log", test_long_log})
