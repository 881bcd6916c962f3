/** \file fatal.c
 *  Ends the job with one message and the right exit code. */
#include "app/fatal.h"

#include "base/log.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

// Static, because the hook has no argument for it and a process fails only
// once.
static bool shows_traces;

void rt_fatal_show_traces(void)
{
  shows_traces = true;
}

void rt_fatal_print(rt_err err, const char *who)
{
  char trace[1200] = "", text[8192];
  // print the run's lines before the error, even if both go to one file
  fflush(stdout);
  if ((shows_traces || err == RT_ERR_INTERNAL) && rt_err_trace()[0] != '\0')
    snprintf(trace, sizeof trace, "\n  at %s", rt_err_trace());
  snprintf(text, sizeof text, "retort: %s%s%s%s%s",
           err == RT_ERR_STOPPED || err == RT_ERR_HALTED ? "" : "error: ", who,
           rt_err_text(), trace,
           err == RT_ERR_INTERNAL
               ? "\n  This is a bug in retort: please report these lines."
               : "");
  fprintf(stderr, "%s\n", text);
  fflush(stderr);
  rt_log_copy(text);
}

/** Also when the launcher, which ends this job, sends a signal. */
static void sleep_ms(long ms)
{
  struct timespec left = {ms / 1000, ms % 1000 * 1000000L};
  while (nanosleep(&left, &left) != 0 && errno == EINTR)
    continue;
}

_Noreturn static void quit(rt_err err)
{
  rt_log_give_up();
  MPI_Abort(MPI_COMM_WORLD, rt_err_exit_code(err));
  _exit(rt_err_exit_code(err)); // MPI_Abort may return
}

/** Works before there is an rt_comm. */
static int my_rank(int *n)
{
  int rank = 0;
  MPI_Comm_rank(MPI_COMM_WORLD, &rank);
  MPI_Comm_size(MPI_COMM_WORLD, n);
  return rank;
}

/** Wait until all ranks have arrived, or some seconds have passed. */
static void gather_ranks(void)
{
  const int most_ms = 5000;
  MPI_Request all;
  int here = 0;
  MPI_Ibarrier(MPI_COMM_WORLD, &all);
  for (int ms = 0; ms < most_ms && !here; ms++) {
    if (MPI_Test(&all, &here, MPI_STATUS_IGNORE) != MPI_SUCCESS)
      return;
    sleep_ms(1);
  }
}

void rt_fatal_quit(rt_err err)
{
  int n;
  if (my_rank(&n) == 0)
    rt_fatal_print(err, "");
  gather_ranks(); // a rank that ends the job earlier would silence rank 0
  quit(err);
}

/** Milliseconds that this rank lets others print first (they then end this
 *  process): an error known to several ranks is printed by the rank on which it
 *  occurred, and one that occurred on several ranks by the lowest. */
static long courtesy_ms(int rank)
{
  const long known_ms = 5000, each_ms = 50;
  return (rank > 0 ? 300 : 0) + each_ms * (rank < 20 ? rank : 20) +
         (rt_err_is_mine() ? 0 : known_ms);
}

void rt_fatal_who(char who[RT_FATAL_WHO])
{
  char host[64] = "?";
  int n = 1;
  const int rank = my_rank(&n);
  gethostname(host, sizeof host - 1);
  who[0] = '\0';
  if (n > 1)
    snprintf(who, RT_FATAL_WHO, "rank %d on %s: ", rank, host);
}

void rt_fatal_abort(rt_err err)
{
  char who[RT_FATAL_WHO];
  int n;
  rt_fatal_who(who);
  sleep_ms(courtesy_ms(my_rank(&n)));
  rt_fatal_print(err, rt_err_is_mine() ? who : "");
  quit(err);
}

rt_err rt_fatal_meet(const rt_comm *world, rt_err err)
{
  err = rt_agree(world, err);
  if (rt_agree_alone())
    rt_fatal_abort(err);
  return err;
}
