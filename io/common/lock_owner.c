/** \file lock_owner.c
 *  Process numbers are only meaningful within one PID namespace of one boot:
 *  two containers on a host may both have a process 7. */
#include "io/common/lock_owner.h"

#include "base/clock.h"
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { SILENT_S = 600 }; // for an owner that gives no value, and the minimum
enum { ENDED = 1 };      // no process that writes locks can start at this tick

/** Start time of process \a pid; 0 if unknown; ENDED if it is a zombie (for
 *  seconds after a crash).  Distinguishes a process from a later one with the
 *  same number. */
static unsigned long long start_of(long pid)
{
  char path[64], *text = NULL;
  size_t n;
  snprintf(path, sizeof path, "/proc/%ld/stat", pid);
  FILE *const f = fopen(path, "r");
  if (f == NULL)
    return 0;
  unsigned long long start = 0;
  // the name in parentheses may contain anything; field 22 is the 20th after it
  if (getdelim(&text, &(size_t){0}, '\0', f) > 0) {
    const char *c = strrchr(text, ')');
    const bool ended = c != NULL && strncmp(c, ") Z", 3) == 0;
    for (n = 0; n < 20 && c != NULL; n++)
      c = strchr(c + 1, ' ');
    if (c != NULL)
      start = ended ? ENDED : strtoull(c, NULL, 10);
  }
  free(text);
  fclose(f);
  return start;
}

/** Boot id of the running kernel; "" if unknown. */
static void read_boot(char *text, size_t n)
{
  text[0] = '\0';
  FILE *const f = fopen("/proc/sys/kernel/random/boot_id", "r");
  if (f == NULL)
    return;
  if (fgets(text, (int)n, f) == NULL)
    text[0] = '\0';
  text[strcspn(text, "\n")] = '\0';
  fclose(f);
}

/** PID namespace of this process. */
static void read_pid_space(char *text, size_t n)
{
  struct stat s;
  text[0] = '\0';
  if (stat("/proc/self/ns/pid", &s) == 0)
    snprintf(text, n, "%llu", (unsigned long long)s.st_ino);
}

rt_owner rt_owner_myself(double silent_s)
{
  rt_owner me = {.pid = (long)getpid(),
                 .start = start_of((long)getpid()),
                 .silent_s = (long)silent_s};
  gethostname(me.host, sizeof me.host - 1);
  read_boot(me.boot, sizeof me.boot);
  read_pid_space(me.pid_space, sizeof me.pid_space);
  const char *const job = getenv("SLURM_JOB_ID");
  const char *const restart = getenv("SLURM_RESTART_COUNT");
  snprintf(me.job, sizeof me.job, "%s", job != NULL ? job : "");
  me.restart = restart != NULL ? atoi(restart) : 0;
  rt_clock_iso(me.since, sizeof me.since);
  return me;
}

void rt_owner_print(const rt_owner *o, char text[RT_OWNER_TEXT])
{
  snprintf(text, RT_OWNER_TEXT,
           "host=%s\nboot=%s\npid_space=%s\npid=%ld\nstart=%llu\njob=%s\n"
           "restart=%d\nsince=%s\nsilent_s=%ld\n",
           o->host, o->boot, o->pid_space, o->pid, o->start, o->job, o->restart,
           o->since, o->silent_s);
}

/** Find the value of \a key in lines "key=value" and copy it to \a to [n]. */
static void value_of(const char *text, const char *key, char *to, size_t n)
{
  to[0] = '\0';
  for (const char *line = text; line != NULL && *line != '\0';) {
    const char *const end = strchrnul(line, '\n');
    if (strncmp(line, key, strlen(key)) == 0)
      snprintf(to, n, "%.*s", (int)(end - line - (long)strlen(key)),
               line + strlen(key));
    line = *end == '\n' ? end + 1 : NULL;
  }
}

rt_owner rt_owner_parse(const char *text)
{
  rt_owner o;
  char number[64];
  value_of(text, "host=", o.host, sizeof o.host);
  value_of(text, "boot=", o.boot, sizeof o.boot);
  value_of(text, "pid_space=", o.pid_space, sizeof o.pid_space);
  value_of(text, "job=", o.job, sizeof o.job);
  value_of(text, "since=", o.since, sizeof o.since);
  value_of(text, "pid=", number, sizeof number);
  o.pid = strtol(number, NULL, 10);
  value_of(text, "start=", number, sizeof number);
  o.start = strtoull(number, NULL, 10);
  value_of(text, "restart=", number, sizeof number);
  o.restart = (int)strtol(number, NULL, 10);
  value_of(text, "silent_s=", number, sizeof number);
  o.silent_s = strtol(number, NULL, 10);
  return o;
}

/** Has process \a o on this host ended? */
static bool process_gone(const rt_owner *o, char why[RT_OWNER_WHY])
{
  snprintf(why, RT_OWNER_WHY, "its process is gone");
  if (kill((pid_t)o->pid, 0) != 0 && errno == ESRCH)
    return true;
  const unsigned long long start = start_of(o->pid);
  if (o->start == 0 || start == 0 || start == o->start)
    return snprintf(why, RT_OWNER_WHY, "its process lives"), false;
  if (start != ENDED)
    snprintf(why, RT_OWNER_WHY,
             "its process is gone (another one has its number)");
  return true;
}

/** Can its process be looked up here? */
static bool is_comparable(const rt_owner *o, const rt_owner *me)
{
  return o->pid > 0 && strcmp(o->host, me->host) == 0 && o->boot[0] != '\0' &&
         strcmp(o->boot, me->boot) == 0 && o->pid_space[0] != '\0' &&
         strcmp(o->pid_space, me->pid_space) == 0;
}

/** Seconds without a sign of life after which it is considered gone. */
static long patience_of(const rt_owner *o)
{
  return o->silent_s > SILENT_S ? o->silent_s : SILENT_S;
}

bool rt_owner_is_gone(const rt_owner *o, const rt_owner *me, double age_s,
                      char why[RT_OWNER_WHY])
{
  const long patience_s = patience_of(o);
  snprintf(why, RT_OWNER_WHY, "this Slurm job was started again");
  if (o->job[0] != '\0' && strcmp(o->job, me->job) == 0 &&
      o->restart < me->restart)
    return true;
  if (is_comparable(o, me))
    return process_gone(o, why);
  if (age_s > (double)patience_s) {
    snprintf(why, RT_OWNER_WHY, "it gave no sign of life for more than %ld s",
             patience_s);
    return true;
  }
  snprintf(why, RT_OWNER_WHY,
           "on %s, so its process cannot be looked up: it is taken over after "
           "%ld s without a sign of life",
           strcmp(o->host, me->host) != 0 ? "another host"
                                          : "another start of this host, or in "
                                            "another container",
           patience_s);
  return false;
}
