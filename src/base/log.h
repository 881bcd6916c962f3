/** \file log.h
 *  Log lines.  Layer: base.  Rank 0 prints; errors are printed by app. */
#ifndef RT_LOG_H
#define RT_LOG_H

#include "base/err.h"
#include <stdio.h>

typedef enum rt_log_level {
  RT_LOG_QUIET,
  RT_LOG_INFO,
  RT_LOG_DEBUG
} rt_log_level;

/** Called once by app: level of this process, and whether it prints (rank 0).
 */
void rt_log_setup(rt_log_level level, bool speaks);
/** Print a line to stdout on the printing rank; the newline is added. */
void rt_info(const char *fmt, ...) RT_PRINTF(1, 2);
/** ... that begins with the time, local: "2026-01-31T13:00:00 ...". */
void rt_info_now(const char *fmt, ...) RT_PRINTF(1, 2);
/** Would a line of this level be seen?  The same on all ranks. */
bool rt_log_shows(rt_log_level level);
/** A buffer for several lines that functions print to a FILE; caller's storage.
 */
typedef struct rt_log_page {
  FILE *to; /**< NULL: this rank prints nothing */
  char *text;
  size_t n;
} rt_log_page;
/** Begin a page of rt_info lines.  False on ranks that do not print, and if the
 *  level suppresses these lines. */
bool rt_log_page_open(rt_log_page *page);
/** Print the lines of the page. */
void rt_log_page_close(rt_log_page *page);
/** Print "retort: warning: ..." to stderr on the printing rank. */
void rt_warn(const char *fmt, ...) RT_PRINTF(1, 2);
/** Print "retort: found: ..." to stderr on any rank: damage that only this rank
 *  has seen and that does not end the run. */
void rt_found(const char *fmt, ...) RT_PRINTF(1, 2);

/** From now on, and of what was said so far, the speaking rank appends all of
 *  its lines to \a path, too, each after its time. */
RT_MUST rt_err rt_log_keep(const char *path);
/** Append \a text there, that the caller prints himself; any thread. */
void rt_log_copy(const char *text);
void rt_log_release(void);
/** As rt_info, at level RT_LOG_DEBUG only. */
void rt_debug(const char *fmt, ...) RT_PRINTF(1, 2);

#endif
