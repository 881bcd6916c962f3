/** \file clock.h
 *  Clocks and times.  Layer: base. */
#ifndef RT_CLOCK_H
#define RT_CLOCK_H

#include <stdbool.h>
#include <stddef.h>

/** Monotonic time in seconds. */
double rt_now_s(void);
/** Write the wall-clock time to \a text as ISO 8601 UTC,
 *  "2026-01-31T12:00:00Z". */
void rt_clock_iso(char *text, size_t n);

/** Write the local wall-clock time, "2026-01-31T13:00:00". */
void rt_clock_local(char *text, size_t n);

/** Parse a time as written by Slurm: "59:30" (minutes first), "04:00:00",
 *  "1-00:00:00", "2-12".  False for anything else, including a plain number. */
bool rt_clock_parse(const char *text, double *seconds);

#endif
