/** \file log.c
 *  Lines for people, from the speaking rank only. */
#include "base/log.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static rt_log_level log_level = RT_LOG_INFO;
static bool log_speaks = true, log_lost;

void rt_log_setup(rt_log_level level, bool speaks)
{
  log_level = level;
  log_speaks = speaks;
}

/** The whole line in one write, so that ranks' lines never interleave. */
static void put_line(FILE *to, const char *prefix, const char *fmt,
                     va_list args)
{
  char line[8192];
  vsnprintf(line, sizeof line, fmt, args);
  const int written = fprintf(to, "%s%s\n", prefix, line);
  const bool lost = fflush(to) != 0 || written < 0;
  // who closed the pipe knows; a full disk is news, and the run goes on
  if (lost && errno != EPIPE && to == stdout && !log_lost) {
    fprintf(stderr, "retort: warning: lines of the log are lost: %s\n",
            strerror(errno));
    log_lost = true;
  }
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

void rt_warn(const char *fmt, ...)
{
  if (log_speaks)
    PUT(stderr, "retort: warning: ", fmt);
}

void rt_found(const char *fmt, ...)
{
  PUT(stderr, "retort: found: ", fmt);
}

void rt_debug(const char *fmt, ...)
{
  if (log_speaks && log_level >= RT_LOG_DEBUG)
    PUT(stdout, "", fmt);
}
