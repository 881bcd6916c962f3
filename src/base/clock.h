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

/** Wall clock where this process is, "2026-01-31T13:00:00". */
void rt_clock_local(char *text, size_t n);

/** Seconds of a time as Slurm writes it: "59:30" (minutes first), "04:00:00",
 *  "1-00:00:00", "2-12"; false for anything else, as a plain number. */
bool rt_clock_parse(const char *text, double *seconds);

#endif
