/** \file last_run.c
 *  A few lines of key=value, so that a shell can read them. */
#include "io/run/last_run.h"

#include "base/clock.h"
#include "base/file.h"
#include "base/log.h"
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static const char file_name[] = "last_run";

/** Identifies this start of this job, so that a script recognises a file from
 *  an earlier start. */
static void name_start(char *text, size_t n)
{
  const char *job = getenv("SLURM_JOB_ID");
  const char *restart = getenv("SLURM_RESTART_COUNT");
  snprintf(text, n, "%.40s.%.20s", job != NULL ? job : "0",
           restart != NULL ? restart : "0");
}

static rt_err put(const char *folder, const rt_last_run *run, const char *state,
                  int code)
{
  char path[RT_PATH_MAX], start[64], when[32], text[512];
  RT_TRY(rt_path_join(path, folder, file_name));
  name_start(start, sizeof start);
  rt_clock_iso(when, sizeof when);
  const int n =
      snprintf(text, sizeof text,
               "state=%s\ncode=%d\nfirst=%lld\nsaved=%lld\n"
               "whole=%lld\nstart=%s\ntime=%s\n",
               state, code, (long long)run->first, (long long)run->saved,
               (long long)run->whole, start, when);
  return rt_file_put(path, text, (size_t)n);
}

rt_err rt_last_run_goes(const char *folder, const rt_last_run *run)
{
  return put(folder, run, "running", -1);
}

void rt_last_run_ends(const char *folder, const rt_last_run *run, rt_err how)
{
  rt_err_keep(); // the first error is the one to report
  const char *state = how == RT_OK            ? "finished"
                      : how == RT_ERR_STOPPED ? "stopped"
                      : how == RT_ERR_HALTED  ? "halted"
                                              : "failed";
  const rt_err err = put(folder, run, state, rt_err_exit_code(how));
  if (err != RT_OK)
    rt_warn("%s/last_run does not say how this run ended: %s", folder,
            rt_err_text());
  (void)!rt_err_restore(how);
}

void rt_last_run_forget(const char *folder)
{
  char path[RT_PATH_MAX];
  if (rt_path_join(path, folder, file_name) == RT_OK)
    unlink(path);
}
