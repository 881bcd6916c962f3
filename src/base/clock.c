/** \file clock.c
 *  Time. */
#include "base/clock.h"

#include <time.h>

double rt_now_s(void)
{
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

void rt_clock_iso(char *text, size_t n)
{
  const time_t now = time(NULL);
  struct tm utc;
  gmtime_r(&now, &utc);
  strftime(text, n, "%Y-%m-%dT%H:%M:%SZ", &utc);
}
