/** \file log.c
 *  Lines for people, from the speaking rank only. */
#include "base/log.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
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
