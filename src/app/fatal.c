/** \file fatal.c
 *  One clear message, and the right exit code. */
#include "app/fatal.h"

#include "base/clock.h"
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

/** Seconds that a failed rank waits for the others to come to the end. */
static const double MEET_S = 10.0;

// The hook has no argument for it, and a process fails once.
static struct {
  const rt_comm *world; // borrowed
  bool debug;
} us;

void rt_fatal_setup(const rt_comm *world, bool debug)
{
  us.world = world;
  us.debug = debug;
}

void rt_fatal_print(rt_err err, const char *who)
{
  char trace[1200] = "";
  // the run's lines stand before its end, also when both go to one file
  fflush(stdout);
  if ((us.debug || err == RT_ERR_INTERNAL) && rt_err_trace()[0] != '\0')
    snprintf(trace, sizeof trace, "\n  at %s", rt_err_trace());
  fprintf(stderr, "retort: %s%s%s%s%s\n",
          err == RT_ERR_STOPPED || err == RT_ERR_HALTED ? "" : "error: ", who,
          rt_err_text(), trace,
          err == RT_ERR_INTERNAL
              ? "\n  This is a bug in retort: please report these lines."
              : "");
  fflush(stderr);
}

static void sleep_ms(long ms)
{
  nanosleep(&(struct timespec){ms / 1000, ms % 1000 * 1000000L}, NULL);
}

_Noreturn static void quit(rt_err err)
{
  MPI_Abort(us.world != NULL ? rt_comm_mpi(us.world) : MPI_COMM_WORLD,
            rt_err_exit_code(err));
  _exit(rt_err_exit_code(err)); // MPI_Abort may return
}

void rt_fatal_quit(rt_err err)
{
  if (rt_comm_rank(us.world) != 0)
    sleep_ms(300);
  else
    rt_fatal_print(err, "");
  quit(err);
}

void rt_fatal_abort(rt_err err)
{
  char host[64] = "?", who[128] = "";
  const int rank = us.world != NULL ? rt_comm_rank(us.world) : 0;
  gethostname(host, sizeof host - 1);
  if (us.world != NULL && rt_comm_size(us.world) > 1)
    snprintf(who, sizeof who, "rank %d on %s: ", rank, host);
  // When all ranks fail alike, rank 0 speaks first and ends the others.
  if (rank != 0)
    sleep_ms(300);
  rt_fatal_print(err, who);
  quit(err);
}

rt_err rt_fatal_meet(const rt_comm *world, rt_err err)
{
  const double since = rt_now_s();
  MPI_Request all = MPI_REQUEST_NULL;
  int here = 0;
  MPI_Ibarrier(rt_comm_mpi(world), &all);
  while (MPI_Test(&all, &here, MPI_STATUS_IGNORE) == MPI_SUCCESS && !here) {
    if (err != RT_OK && rt_now_s() - since > MEET_S)
      rt_fatal_abort(err);
    sleep_ms(1);
  }
  return rt_agree(world, err);
}
