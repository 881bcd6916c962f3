/** \file clock.c
 *  Clocks and times. */
#include "base/clock.h"

#include <stdlib.h>
#include <string.h>
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

void rt_clock_local(char *text, size_t n)
{
  const time_t now = time(NULL);
  struct tm local;
  localtime_r(&now, &local);
  strftime(text, n, "%Y-%m-%dT%H:%M:%S", &local);
}

/** Parse at most nine digits at *text and advance past them; -1 if there are
 *  none or too many. */
static long field(const char **text)
{
  const size_t n = strspn(*text, "0123456789");
  if (n == 0 || n > 9)
    return -1;
  const long value = strtol(*text, NULL, 10);
  *text += n;
  return value;
}

bool rt_clock_parse(const char *text, double *seconds)
{
  long days = 0, parts[3] = {0};
  const char *p = text;
  int n = 0;
  if ((parts[n++] = field(&p)) < 0)
    return false;
  const bool has_days = *p == '-';
  if (has_days) {
    days = parts[0];
    p++;
    if ((parts[0] = field(&p)) < 0)
      return false;
  }
  while (*p == ':' && n < 3) {
    p++;
    parts[n] = field(&p);
    if (parts[n] < 0 || parts[n] > 59)
      return false;
    n++;
  }
  if (*p != '\0' || (n == 1 && !has_days))
    return false;
  // after days, or with three parts, the first part is hours, otherwise minutes
  const double first_s = has_days || n == 3 ? 3600.0 : 60.0;
  *seconds = 86400.0 * (double)days + first_s * (double)parts[0] +
             first_s / 60.0 * (double)parts[1] +
             first_s / 3600.0 * (double)parts[2];
  return true;
}
