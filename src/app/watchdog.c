/** \file watchdog.c
 *  Ends a job that hangs.
 *
 *  Each rank's thread stamps a slot of a shared file every second with its wall
 *  clock, the age of the main thread's last beat, the collectives entered and
 *  the phase.  A rank whose stamp stands still is stopped (or its host is);
 *  among ranks that still stamp, the one that entered the fewest collectives is
 *  what the others wait for. */
#include "app/watchdog.h"

#include "base/clock.h"
#include "par/comm.h"
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

/** What a rank says of itself, fixed size in the file. */
typedef struct slot {
  int64_t stamp_s; // wall clock of the thread
  int64_t step;
  uint64_t collectives;
  double beat_age_s;
  char phase[32], host[64];
} slot;

enum { STALE_S = 5 };

// One watchdog a process: its hook, rt_watchdog_beat, has no state to be given.
static struct {
  pthread_t thread;
  atomic_bool running, stop;
  int fd, rank, n_ranks;
  double limit_s;
  char host[64];
  _Atomic double beat_s;
  atomic_int_fast64_t step;
  const char *_Atomic phase;
} dog = {.fd = -1};

void rt_watchdog_beat(int64_t step, const char *phase)
{
  atomic_store(&dog.beat_s, rt_now_s());
  atomic_store(&dog.step, step);
  atomic_store(&dog.phase, phase);
}

static slot my_slot(void)
{
  slot s = {.stamp_s = (int64_t)time(NULL),
            .step = atomic_load(&dog.step),
            .collectives = rt_comm_count(),
            .beat_age_s = rt_now_s() - atomic_load(&dog.beat_s)};
  snprintf(s.phase, sizeof s.phase, "%s", atomic_load(&dog.phase));
  memcpy(s.host, dog.host, sizeof s.host);
  return s;
}

static void stamp(void)
{
  const slot s = my_slot();
  const off_t at = (off_t)dog.rank * (off_t)sizeof s;
  if (dog.fd >= 0 && pwrite(dog.fd, &s, sizeof s, at) < 0)
    return; // a full disk must not end a healthy run
}

/** Slot of a rank; this rank's own needs no file. */
static bool read_slot(int rank, slot *s)
{
  if (rank == dog.rank) {
    *s = my_slot();
    return true;
  }
  const off_t at = (off_t)rank * (off_t)sizeof *s;
  return dog.fd >= 0 && pread(dog.fd, s, sizeof *s, at) == sizeof *s;
}

static bool is_stopped(const slot *s)
{
  return (int64_t)time(NULL) - s->stamp_s > STALE_S;
}

static void name_rank(int rank, const slot *s, const char *what)
{
  fprintf(stderr,
          "retort: error: hung: rank %d on %s %s (step %lld, %s, %llu "
          "collectives)\n",
          rank, s->host, what, (long long)s->step, s->phase,
          (unsigned long long)s->collectives);
}

/** Lowest rank that still stamps; how many do not; the fewest collectives. */
static int survey(int *n_stopped, uint64_t *fewest)
{
  int first_alive = dog.rank;
  slot s;
  *n_stopped = 0;
  *fewest = UINT64_MAX;
  for (int r = dog.n_ranks - 1; r >= 0; r--) {
    if (!read_slot(r, &s))
      continue;
    if (is_stopped(&s))
      ++*n_stopped;
    else
      first_alive = r;
    if (s.collectives < *fewest)
      *fewest = s.collectives;
  }
  return first_alive;
}

static void accuse(int n_stopped, uint64_t fewest)
{
  slot s;
  for (int r = 0; r < dog.n_ranks; r++) {
    if (!read_slot(r, &s))
      continue;
    if (n_stopped > 0 && is_stopped(&s))
      name_rank(r, &s, "is stopped: its process no longer runs");
    else if (n_stopped == 0 && s.collectives == fewest)
      name_rank(r, &s, "is behind the others");
  }
}

static void end_job(void)
{
  int n_stopped;
  uint64_t fewest;
  if (survey(&n_stopped, &fewest) != dog.rank)
    sleep(10); // one voice is enough, and it goes first
  accuse(n_stopped, fewest);
  fprintf(stderr,
          "retort: error: no step for %.0f s (run.watchdog_s): the job is "
          "ended; run it again to go on from its last checkpoint\n",
          dog.limit_s);
  fflush(stderr);
  _exit(rt_err_exit_code(RT_ERR_HANG));
}

static void *watch(void *unused)
{
  (void)unused;
  while (!atomic_load(&dog.stop)) {
    stamp();
    if (rt_now_s() - atomic_load(&dog.beat_s) > dog.limit_s)
      end_job();
    const struct timespec a_while = {.tv_nsec = 200000000};
    nanosleep(&a_while, NULL);
  }
  return NULL;
}

rt_err rt_watchdog_start(const char *path, int rank, int n_ranks,
                         double limit_s)
{
  rt_watchdog_beat(0, "set-up");
  if (limit_s <= 0.0)
    return RT_OK;
  dog.rank = rank;
  dog.n_ranks = n_ranks;
  dog.limit_s = limit_s;
  gethostname(dog.host, sizeof dog.host - 1);
  if (path[0] != '\0') {
    dog.fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0644);
    RT_CHECK(dog.fd >= 0, RT_ERR_IO, "%s: cannot be opened for heartbeats",
             path);
  }
  stamp();
  RT_CHECK(pthread_create(&dog.thread, NULL, watch, NULL) == 0, RT_ERR_MEM,
           "cannot start the watchdog thread");
  atomic_store(&dog.running, true);
  return RT_OK;
}

void rt_watchdog_stop(void)
{
  if (atomic_exchange(&dog.running, false)) {
    atomic_store(&dog.stop, true);
    pthread_join(dog.thread, NULL);
  }
  if (dog.fd >= 0)
    close(dog.fd);
  dog.fd = -1;
}
