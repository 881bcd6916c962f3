/** \file log.c
 *  Log lines, printed by one rank only. */
#include "base/log.h"

#include "base/clock.h"
#include "base/file.h"
#include "base/lines.h"
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static rt_log_level log_level = RT_LOG_INFO;
static bool log_speaks = true, log_lost;
static char log_who[128]; // "rank 1 on node7: "

void rt_log_setup(rt_log_level level, rt_log_voice voice)
{
  log_level = level;
  log_speaks = voice == RT_LOG_SPEAKS;
}

void rt_log_name(const char *who)
{
  snprintf(log_who, sizeof log_who, "%s", who);
}

/** The copy of all lines; those from before it was opened, or that cannot be
 *  written, are kept.  A thread that finds it in use, perhaps by one that
 * hangs, writes past it. */
static struct {
  rt_lines to;
  atomic_flag used;
  bool fails; // which has been said
  char path[RT_PATH_MAX], kept[1 << 16];
} copy = {.to = {.fd = -1}, .used = ATOMIC_FLAG_INIT};

/** Warn once, on stderr only; the run continues. */
static void say_lost(int reason)
{
  if (!log_lost)
    fprintf(stderr, "retort: warning: lines of the log are lost: %s\n",
            strerror(reason));
  log_lost = true;
}

static bool take_copy(void)
{
  copy.to.path = copy.path;
  copy.to.kept = copy.kept;
  copy.to.room = sizeof copy.kept;
  copy.to.stay = RT_LINES_LAST;
  return !atomic_flag_test_and_set(&copy.used);
}

static void await_copy(void)
{
  while (!take_copy())
    sched_yield();
}

/** Warn on stderr only, once for each time that the file cannot be written. */
static void say_kept(int reason)
{
  char why[RT_LINES_WHY];
  if (reason != 0 && !copy.fails) {
    rt_lines_why(&copy.to, reason, why);
    fprintf(stderr,
            "retort: warning: %s.  The run goes on; the last 64 KiB of its log "
            "are kept, and written as soon as they can be\n",
            why);
  }
  copy.fails = reason != 0;
}

/** Append a line of \a length characters after its time, not by stdio, whose
 *  lock a hanging thread may hold. */
static void copy_line(const char *when, const char *text, size_t length)
{
  char line[8192 + 64];
  const int all =
      snprintf(line, sizeof line, "%s %.*s\n", when, (int)length, text);
  const size_t n = (size_t)all < sizeof line ? (size_t)all : sizeof line - 1;
  line[n - 1] = '\n';
  if (take_copy()) {
    const int reason = rt_lines_write(&copy.to);
    const int last = rt_lines_put(&copy.to, line, n);
    say_kept(reason != 0 ? reason : last);
    atomic_flag_clear(&copy.used);
  } else if (copy.to.fd >= 0 && write(copy.to.fd, line, n) < 0) {
    say_lost(errno);
  }
}

void rt_log_copy(const char *text)
{
  char when[32];
  if (!log_speaks)
    return;
  rt_clock_local(when, sizeof when);
  do {
    const size_t n = strcspn(text, "\n");
    copy_line(when, text, n);
    text += n + (text[n] == '\n');
  } while (*text != '\0');
}

rt_err rt_log_keep(const char *path)
{
  int fd;
  RT_TRY(rt_file_open_output(path, O_WRONLY | O_CREAT | O_APPEND, &fd));
  rt_log_release();
  await_copy();
  snprintf(copy.path, sizeof copy.path, "%s", path);
  copy.to.fd = fd;
  say_kept(rt_lines_write(&copy.to));
  atomic_flag_clear(&copy.used);
  return RT_OK;
}

/** Write what is kept, or say how much is lost. */
static void empty_copy(void)
{
  if (rt_lines_write(&copy.to) != 0)
    fprintf(stderr, "retort: warning: %s lacks its last %lld lines\n",
            copy.path, (long long)(rt_lines_kept(&copy.to) + copy.to.n_lost));
  copy.to.n = 0;
  copy.to.n_lost = 0;
}

void rt_log_give_up(void)
{
  if (copy.to.fd < 0 || !take_copy())
    return;
  empty_copy();
  atomic_flag_clear(&copy.used);
}

void rt_log_release(void)
{
  if (copy.to.fd < 0)
    return;
  await_copy();
  empty_copy();
  copy.to.part = 0;
  if (close(copy.to.fd) != 0)
    say_lost(errno);
  copy.to.fd = -1;
  atomic_flag_clear(&copy.used);
}

/** Write a whole line with one call, so that lines of different ranks never
 *  interleave. */
static void put_line(FILE *to, const char *prefix, const char *fmt,
                     va_list args)
{
  char line[8192];
  const int n = snprintf(line, sizeof line, "%s", prefix);
  vsnprintf(line + n, sizeof line - (size_t)n, fmt, args);
  const int written = fprintf(to, "%s\n", line);
  const bool lost = fflush(to) != 0 || written < 0;
  // a closed pipe needs no warning; a full disk does, and the run continues
  if (lost && errno != EPIPE && to == stdout)
    say_lost(errno);
  rt_log_copy(line);
}

#define PUT(to, prefix, fmt)                                                   \
  do {                                                                         \
    va_list args;                                                              \
    va_start(args, fmt);                                                       \
    put_line(to, prefix, fmt, args);                                           \
    va_end(args);                                                              \
  } while (0)

void rt_info(const char *fmt, ...)
{
  if (log_speaks && log_level >= RT_LOG_INFO)
    PUT(stdout, "", fmt);
}

bool rt_log_shows(rt_log_level level)
{
  return log_level >= level;
}

bool rt_log_page_open(rt_log_page *page)
{
  *page = (rt_log_page){0};
  if (!log_speaks || !rt_log_shows(RT_LOG_INFO))
    return false;
  page->to = open_memstream(&page->text, &page->n);
  if (page->to == NULL)
    rt_warn("no memory for some lines of the log");
  return page->to != NULL;
}

void rt_log_page_close(rt_log_page *page)
{
  if (fclose(page->to) != 0)
    rt_warn("no memory for some lines of the log");
  char *line = page->text, *rest = NULL;
  for (line = strtok_r(line, "\n", &rest); line != NULL;
       line = strtok_r(NULL, "\n", &rest))
    rt_info("%s", line);
  free(page->text);
  *page = (rt_log_page){0};
}

void rt_info_now(const char *fmt, ...)
{
  char line[4096], when[32];
  va_list args;
  if (!log_speaks || log_level < RT_LOG_INFO)
    return;
  va_start(args, fmt);
  vsnprintf(line, sizeof line, fmt, args);
  va_end(args);
  rt_clock_local(when, sizeof when);
  printf("%s %s\n", when, line);
  if (fflush(stdout) != 0 && errno != EPIPE)
    say_lost(errno);
  rt_log_copy(line);
}

void rt_warn(const char *fmt, ...)
{
  if (log_speaks)
    PUT(stderr, "retort: warning: ", fmt);
}

void rt_found(const char *fmt, ...)
{
  char prefix[sizeof log_who + 32];
  snprintf(prefix, sizeof prefix, "retort: found: %s", log_who);
  PUT(stderr, prefix, fmt);
}

void rt_debug(const char *fmt, ...)
{
  if (log_speaks && log_level >= RT_LOG_DEBUG)
    PUT(stdout, "", fmt);
}
