/** \file clock.h
 *  Time.  Layer: base. */
#ifndef RT_CLOCK_H
#define RT_CLOCK_H

#include <stddef.h>

/** Monotonic seconds. */
double rt_now_s(void);
/** Wall clock as ISO 8601 UTC, "2026-01-31T12:00:00Z", into \a text. */
void rt_clock_iso(char *text, size_t n);

#endif
