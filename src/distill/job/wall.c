/** \file wall.c
 *  The wall limit, from the deck or from Slurm. */
#include "distill/job/wall.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/spawn.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/** Time limit for squeue, which waits for slurmctld. */
static const double ASK_S = 15.0;

/** The time left for this job according to squeue; 0: no limit.  A remaining
 *  time needs neither time zone nor synchronised clocks. */
static rt_err ask_squeue(const char *job_id, double *left_s)
{
  char id[32], line[256];
  snprintf(id, sizeof id, "%s", job_id);
  char *const argv[] = {"squeue", "-h", "-t", "all", "-j",
                        id,       "-o", "%L", NULL};
  *left_s = 0.0;
  RT_TRY(rt_spawn_read(argv, ASK_S, line, sizeof line));
  line[strcspn(line, " \n")] = '\0';
  if (strcmp(line, "UNLIMITED") == 0)
    return RT_OK;
  RT_CHECK(rt_clock_parse(line, left_s), RT_ERR_NOINPUT,
           "squeue -j %s -o %%L says \"%s\"", id, line);
  *left_s = fmax(*left_s, 1e-3); // 0 would mean "no limit"
  return RT_OK;
}

/** Seconds until Slurm ends this job; 0: no limit, or unknown. */
static double slurm_left_s(void)
{
  const char *end = getenv("SLURM_JOB_END_TIME"); // seconds since 1970
  const char *job_id = getenv("SLURM_JOB_ID");
  double left_s = 0.0;
  if (end != NULL && strtod(end, NULL) > 0.0)
    return strtod(end, NULL) - (double)time(NULL);
  if (job_id == NULL || ask_squeue(job_id, &left_s) == RT_OK)
    return left_s;
  rt_warn("the wall limit of Slurm job %s is not known: %s; set run.wall_s to "
          "stop before it",
          job_id, rt_err_text());
  rt_err_clear();
  return 0.0;
}

rt_err rt_wall_end(const rt_job *job, double *end_s)
{
  const rt_deck *deck = job->deck;
  const double wall_s = rt_deck_real(deck, RT_KEY_RUN_WALL_S);
  const double margin_s = rt_deck_real(deck, RT_KEY_RUN_WALL_MARGIN_S);
  double left_s = 0.0;
  *end_s = 0.0;
  RT_CHECK(wall_s == 0.0 || wall_s > margin_s, RT_ERR_CONFIG,
           "run.wall_s is %g and run.wall_margin_s %g: no time is left for a "
           "step; set a smaller margin",
           wall_s, margin_s);
  if (wall_s > 0.0)
    left_s = job->phases.began + wall_s - rt_now_s();
  else if (rt_comm_rank(job->world) == 0)
    left_s = slurm_left_s();
  RT_TRY(rt_comm_bcast(job->world, &left_s, sizeof left_s, 0));
  if (left_s == 0.0)
    return RT_OK;
  // a job of a minute (in tests) can use half of it
  const double before_s = wall_s > 0.0 ? margin_s : fmin(margin_s, left_s / 2);
  if (wall_s == 0.0)
    rt_info("wall limit %.0f s from now, by Slurm; the run stops %.0f s before",
            left_s, before_s);
  *end_s = rt_now_s() + left_s - before_s;
  return RT_OK;
}
