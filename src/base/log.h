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

typedef enum rt_log_voice {
  RT_LOG_SILENT, /**< this process prints only what it has found (rt_found) */
  RT_LOG_SPEAKS  /**< it prints for all: rank 0 */
} rt_log_voice;
/** Called once by app. */
void rt_log_setup(rt_log_level level, rt_log_voice voice);
/** What rt_found prints before its text: "rank 1 on node7: ". */
void rt_log_name(const char *who);
/** Print a line to stdout on the printing rank; the newline is added. */
void rt_info(const char *fmt, ...) RT_PRINTF(1, 2);
/** A line that begins with the local time: "2026-01-31T13:00:00 ...". */
void rt_info_now(const char *fmt, ...) RT_PRINTF(1, 2);
/** Is a line of this level printed?  The same on all ranks. */
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
/** Print "retort: found: ..." to stderr on any rank, with its name
 * (rt_log_name): damage that only this rank has seen and that does not end the
 * run. */
void rt_found(const char *fmt, ...) RT_PRINTF(1, 2);

/** Append all lines of the printing rank to \a path, too, each preceded by its
 *  time; this includes lines printed so far. */
RT_MUST rt_err rt_log_keep(const char *path);
/** Append \a text, which the caller prints itself, to that copy, each of its
 *  lines with the time; any thread. */
void rt_log_copy(const char *text);
void rt_log_release(void);
/** Before this process ends at once: write what that copy lacks, or warn.  Does
 *  not wait for a thread that writes to it, which may hang. */
void rt_log_give_up(void);
/** Like rt_info, at level RT_LOG_DEBUG only. */
void rt_debug(const char *fmt, ...) RT_PRINTF(1, 2);

#endif
