/** \file lines.h
 *  A text file that grows by whole lines, also while its disk is full: what
 *  cannot be written is kept in memory, and written before any later line.
 *  Layer: base.  Records no error, as some of its callers report one. */
#ifndef RT_LINES_H
#define RT_LINES_H

#include <stddef.h>
#include <stdint.h>

/** The lines that stay if there is no room for all. */
typedef enum rt_lines_stay {
  RT_LINES_FIRST, /**< the caller reports how many are lost */
  RT_LINES_LAST   /**< the file says in their place how many are missing */
} rt_lines_stay;

/** Caller's storage; set the first five members.  Not thread-safe, but other
 *  threads may append to the same file. */
typedef struct rt_lines {
  int fd;           /**< open for appending; -1: keep all lines for now */
  const char *path; /**< for messages; borrowed */
  char *kept;       /**< not written yet: the first n of [room]; borrowed */
  size_t room;
  rt_lines_stay stay;
  size_t n;
  int64_t n_lost; /**< lines for which kept had no room */
  int64_t whole;  // size of the file without the part of a line at its end
  size_t part;    // size of that part, which a failed write left behind
} rt_lines;

/** Add \a n bytes that end a line, then write all that is kept.  Returns 0, or
 *  the errno for which some of it is still kept. */
int rt_lines_put(rt_lines *l, const char *text, size_t n);
/** Write what is kept. */
int rt_lines_write(rt_lines *l);
/** The number of lines that are kept. */
int64_t rt_lines_kept(const rt_lines *l);

enum { RT_LINES_WHY = 4608 };
/** Describe such an errno: path, reason, bytes needed and free, remedy. */
void rt_lines_why(const rt_lines *l, int reason, char text[RT_LINES_WHY]);

#endif
