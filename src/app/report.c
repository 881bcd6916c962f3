/** \file report.c
 *  Ways out: one message, the right exit code. */
#include "app/app.h"

#include "app/watchdog.h"
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

// A signal handler can reach nothing else.
static volatile sig_atomic_t stop_was_asked;

int rt_app_report(const rt_comm *world, rt_err err, bool debug)
{
  if (err == RT_OK)
    return 0;
  if (world == NULL || rt_comm_rank(world) == 0) {
    fflush(stdout);
    fprintf(stderr, "retort: %s: %s\n",
            err == RT_ERR_STOPPED ? "stopped" : "error", rt_err_text());
    if (debug || err == RT_ERR_INTERNAL)
      fprintf(stderr, "  at %s\n", rt_err_trace());
  }
  return rt_err_exit_code(err);
}

/** A local error while peers may wait for this rank: end the whole job. */
static void end_job(rt_err err)
{
  char host[256] = "?";
  int rank = 0;
  gethostname(host, sizeof host - 1);
  MPI_Comm_rank(MPI_COMM_WORLD, &rank);
  fflush(stdout);
  fprintf(stderr, "retort: error: rank %d on %s: %s\n  at %s\n", rank, host,
          rt_err_text(), rt_err_trace());
  fflush(stderr);
  MPI_Abort(MPI_COMM_WORLD, rt_err_exit_code(err));
  abort(); // MPI_Abort does not return
}

static bool stop_asked(void)
{
  return stop_was_asked != 0;
}

const rt_hooks *rt_app_hooks(void)
{
  static const rt_hooks hooks = {end_job, rt_watchdog_beat, stop_asked};
  return &hooks;
}

static void ask_to_stop(int number)
{
  stop_was_asked = 1;
  if (number == SIGTERM)
    signal(SIGTERM, SIG_DFL); // a second one means it
}

void rt_app_catch_signals(void)
{
  const struct sigaction action = {.sa_handler = ask_to_stop,
                                   .sa_flags = SA_RESTART};
  sigaction(SIGUSR1, &action, NULL);
  sigaction(SIGTERM, &action, NULL);
}
