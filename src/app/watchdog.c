/** \file watchdog.c
 *  The watchdog thread. */
#include "app/watchdog.h"

#include "app/heartbeat.h"
#include "base/clock.h"
#include "base/hash.h"
#include "base/log.h"
#include <errno.h>
#include <math.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum {
  ROUNDS = 3, // number of lines that a live rank must write within the check
  RANKS_A_SECOND =
      64, // approximate number of lines written per second over all ranks
  SPEAKER_S = 10, // seconds that the others wait for the speaker to end the job
  NAMED = 8       // maximum number of ranks named in the message
};

/** What a rank is doing before its first beat. */
#define SET_UP "set-up"

// Static, because the beat hook has no argument for it and a process has one
// watchdog.
static struct {
  pthread_t thread;
  bool running;
  pthread_mutex_t lock; // protects stop
  pthread_cond_t wake;
  bool stop;
  double flushed_s; // time of the last flush for other nodes
  int rank, n_ranks;
  rt_heartbeat beats; // used by the watchdog thread only, as is
  uint64_t n_signs;   // signs of life in set-up when last checked
  // written by the main thread, read by the watchdog thread
  _Atomic double limit_s;
  _Atomic uint64_t run;              // identifies the run; 0: not known yet
  _Atomic bool one_node;             // all ranks are on one node
  _Atomic(const char *) folder;      // borrowed, "" without one
  _Atomic(const rt_phases *) phases; // borrowed; NULL: no job yet, or none
  _Atomic int64_t step;
  _Atomic(const char *) phase;
  _Atomic double beat_s; // time of the last beat, as by rt_now_s()
  _Atomic uint64_t n_beats;
  _Atomic bool waits; // waits for other ranks deliberately
} watchdog;

void rt_watchdog_beat(int64_t step, const char *phase)
{
  atomic_store_explicit(&watchdog.step, step, memory_order_relaxed);
  atomic_store_explicit(&watchdog.phase, phase, memory_order_relaxed);
  atomic_store_explicit(&watchdog.beat_s, rt_now_s(), memory_order_relaxed);
  atomic_store_explicit(&watchdog.waits, false, memory_order_relaxed);
  atomic_fetch_add_explicit(&watchdog.n_beats, 1, memory_order_release);
}

void rt_watchdog_wait(const char *phase)
{
  atomic_store_explicit(&watchdog.phase, phase, memory_order_relaxed);
  atomic_store_explicit(&watchdog.waits, true, memory_order_relaxed);
}

static double age_s(void)
{
  return rt_now_s() - atomic_load(&watchdog.beat_s);
}

/** Seconds between two lines of a rank. */
static double every_s(void)
{
  const double limit_s = atomic_load(&watchdog.limit_s);
  const double every = 1.0 + (double)watchdog.n_ranks / RANKS_A_SECOND;
  return limit_s > 0.0 && every > limit_s / 8.0 ? limit_s / 8.0 : every;
}

/** Is the run past its set-up? */
static bool has_begun(void)
{
  return atomic_load(&watchdog.n_beats) > 0 || atomic_load(&watchdog.waits);
}

/** State of the main thread according to the system: 'R' running (MPI polls),
 *  'S' sleeping, 'D' waiting for I/O; '?' unknown.  Its id is that of the
 *  process. */
static char state_of_main(int pid)
{
  char path[64], text[512] = "";
  snprintf(path, sizeof path, "/proc/self/task/%d/stat", pid);
  FILE *const from = fopen(path, "r");
  if (from == NULL)
    return '?';
  const size_t n = fread(text, 1, sizeof text - 1, from);
  fclose(from);
  text[n] = '\0';
  const char *name_end = strrchr(text, ')');
  return name_end != NULL && name_end[1] == ' ' ? name_end[2] : '?';
}

/** Write this rank's line.  \a doubt: make it visible to other nodes at once,
 *  which is otherwise done only occasionally. */
static void stamp(bool doubt)
{
  rt_pulse *p = &watchdog.beats.mine;
  const bool late = rt_now_s() - watchdog.flushed_s > watchdog.limit_s / 8.0;
  const bool surely = doubt || (watchdog.limit_s > 0.0 && late);
  if (surely)
    watchdog.flushed_s = rt_now_s();
  p->tick++;
  p->main = atomic_load(&watchdog.waits) ? 'W'
            : doubt                      ? state_of_main(p->pid)
                                         : 'R'; // determined only when in doubt
  p->age_s = age_s();
  p->n_collectives = rt_ranks_count(); // an aligned word, read without a lock
  p->step = atomic_load(&watchdog.step);
  const char *const where = rt_ranks_where();
  snprintf(p->where, sizeof p->where, "%s", where != NULL ? where : "-");
  const rt_phases *const phases = atomic_load(&watchdog.phases);
  const bool reported = has_begun() && phases != NULL;
  snprintf(p->doing, sizeof p->doing, "%s%s%s", atomic_load(&watchdog.phase),
           reported ? ", " : "", reported ? rt_phase_name(phases->now) : "");
  rt_heartbeat_write(&watchdog.beats,
                     surely ? RT_HEARTBEAT_ALL : RT_HEARTBEAT_NODE);
}

/** Sleep \a s seconds; false: told to stop. */
static bool wait_s(double s)
{
  struct timespec until;
  clock_gettime(CLOCK_MONOTONIC, &until); // the clock of the condition variable
  const double whole = (double)(time_t)s;
  until.tv_sec += (time_t)s;
  until.tv_nsec += (long)((s - whole) * 1e9);
  until.tv_sec += until.tv_nsec / 1000000000L;
  until.tv_nsec %= 1000000000L;
  pthread_mutex_lock(&watchdog.lock);
  int code = 0;
  while (!watchdog.stop && code != ETIMEDOUT)
    code = pthread_cond_timedwait(&watchdog.wake, &watchdog.lock, &until);
  const bool go_on = !watchdog.stop;
  pthread_mutex_unlock(&watchdog.lock);
  return go_on;
}

/** What is known about a hang. */
typedef struct verdict {
  const rt_pulse *now; // borrowed [n_ranks]
  const bool *frozen;  // borrowed [n_ranks]
  int n_frozen, n_known;
  double oldest_s; // age of the oldest beat of a rank that does not wait
                   // deliberately
  double set_up_s; // age of the latest sign of life of a rank in set-up
  int n_stuck;     // number of stuck ranks (see is_stuck)
  int n_idle;      // of these, those whose main thread does not run
  uint64_t least;  // minimum number of collectives among these
  uint64_t most;
  bool all_wait; // every rank has been in the same collective since the last
                 // look
  bool apart;    // and they are not all in the same collective
} verdict;

/** Should this rank beat, and has it not done so recently?  (Groups of a
 *  capture may continue while another hangs.)  Half the limit is used, because
 *  a rank that hangs may have beaten slightly later than those waiting for it
 *  in a collective. */
static bool is_stuck(const rt_pulse *p)
{
  return p->tick > 0 && p->main != 'W' && p->age_s > 0.5 * watchdog.limit_s;
}

/** Has this rank not beaten yet? */
static bool is_in_set_up(const rt_pulse *p)
{
  return p->tick > 0 && strcmp(p->doing, SET_UP) == 0;
}

static bool is_waiting(const rt_pulse *before, const rt_pulse *now)
{
  return before->tick > 0 && now->tick > 0 && strcmp(now->where, "-") != 0 &&
         now->n_collectives == before->n_collectives;
}

/** Does every live rank have a line?  Without a folder, ranks on other nodes
 *  are not visible, and during set-up not all may be in doubt. */
static bool all_are_seen(void)
{
  return watchdog.beats.everyone && (!watchdog.beats.in_folder || has_begun());
}

static verdict judge(const rt_pulse *before, const rt_pulse *now, bool *frozen,
                     bool seen)
{
  verdict v = {.now = now,
               .frozen = frozen,
               .set_up_s = age_s(),
               .least = UINT64_MAX,
               .all_wait = seen};
  for (int r = 0; r < watchdog.n_ranks; r++) {
    v.all_wait = v.all_wait && is_waiting(&before[r], &now[r]);
    v.apart = v.apart || strcmp(now[r].where, now[0].where) != 0;
    frozen[r] = seen && r != watchdog.rank && now[r].tick == before[r].tick &&
                (now[r].tick > 0 || all_are_seen());
    v.n_frozen += frozen[r];
    v.n_known += now[r].tick > 0;
    if (now[r].tick > 0 && now[r].main != 'W' && now[r].age_s > v.oldest_s)
      v.oldest_s = now[r].age_s;
    if (is_in_set_up(&now[r]) && now[r].age_s < v.set_up_s)
      v.set_up_s = now[r].age_s;
    if (!is_stuck(&now[r]))
      continue;
    v.n_stuck++;
    v.n_idle += now[r].main != 'R';
    if (now[r].n_collectives < v.least)
      v.least = now[r].n_collectives;
    if (now[r].n_collectives > v.most)
      v.most = now[r].n_collectives;
  }
  return v;
}

/** Are all in the same collective, but some do not poll in it? */
static bool some_idle(const verdict *v)
{
  return v->least == v->most && v->n_idle > 0 && v->n_idle < v->n_stuck;
}

static bool is_suspect(const verdict *v, int r)
{
  if (v->n_frozen > 0)
    return v->frozen[r];
  if (!is_stuck(&v->now[r]))
    return false;
  if (v->all_wait && v->apart)
    return true;
  return some_idle(v) ? v->now[r].main != 'R'
                      : v->now[r].n_collectives == v->least;
}

static const char *what_hangs(const verdict *v)
{
  if (v->n_frozen > 0)
    return "frozen (stopped, or its node is gone):";
  if (v->all_wait && v->apart)
    return "the ranks wait in different collectives:";
  if (some_idle(v))
    return "its main thread sleeps where the others wait:";
  if (v->least < v->most)
    return "furthest behind, the others wait for it:";
  return v->n_stuck < v->n_known
             ? "all ranks have finished or make progress, except:"
             : "all ranks are at the same place:";
}

/** Describe a rank in \a text: "rank 1 on host x, pid 12 (step 17, ...)". */
static size_t name_rank(const verdict *v, int r, char *text, size_t n)
{
  const rt_pulse *p = &v->now[r];
  int used;
  if (p->tick == 0)
    used = snprintf(text, n, "\n  rank %d gave no sign of life", r);
  else
    used = snprintf(text, n,
                    "\n  rank %d on host %s, pid %d: last at %lld (%s), %llu "
                    "collectives%s%s",
                    r, p->host, p->pid, (long long)p->step, p->doing,
                    (unsigned long long)p->n_collectives,
                    strcmp(p->where, "-") != 0 ? ", now in " : "",
                    strcmp(p->where, "-") != 0 ? p->where : "");
  return (size_t)used < n ? (size_t)used : n;
}

static void say(const verdict *v)
{
  char text[4096];
  int n_named = 0, n_suspects = 0;
  size_t at = (size_t)snprintf(
      text, sizeof text,
      "retort: error: no progress for %.0f s (run.watchdog_s is %g)%s: %s",
      age_s(), watchdog.limit_s,
      atomic_load(&watchdog.waits) ? " while waiting for other ranks" : "",
      what_hangs(v));
  for (int r = 0; r < watchdog.n_ranks && at < sizeof text; r++) {
    if (!is_suspect(v, r))
      continue;
    n_suspects++;
    if (n_named < NAMED) {
      at += name_rank(v, r, text + at, sizeof text - at);
      n_named++;
    }
  }
  if (n_suspects > n_named && at < sizeof text)
    at += (size_t)snprintf(text + at, sizeof text - at, "\n  and %d more",
                           n_suspects - n_named);
  if (at < sizeof text)
    at += (size_t)snprintf(text + at, sizeof text - at,
                           "\n  the job ends with exit code %d; the same "
                           "command resumes from the last checkpoint\n",
                           rt_err_exit_code(RT_ERR_HANG));
  const size_t n = at < sizeof text ? at : sizeof text - 1;
  // without stdio, because the main thread may hang while holding stderr's lock
  rt_log_copy(text);
  if (write(STDERR_FILENO, text, n) < 0)
    return; // stderr is closed; the exit code remains
}

/** The rank that prints: the first that is over its limit and does not wait
 *  deliberately (such ranks check less often), as it sees the same at about the
 *  same time. */
static int speaker(const verdict *v)
{
  int first_waiting = watchdog.rank;
  for (int r = 0; r < watchdog.n_ranks; r++) {
    const rt_pulse *p = &v->now[r];
    if (v->frozen[r] || p->tick == 0 || p->age_s <= watchdog.limit_s)
      continue;
    if (p->main != 'W')
      return r;
    first_waiting = r < first_waiting ? r : first_waiting;
  }
  return first_waiting;
}

/** One rank prints and exits first; the launcher then ends all others,
 *  including frozen ones.  If it does not, they exit by themselves. */
static void end_job(const verdict *v)
{
  if (watchdog.rank != speaker(v))
    nanosleep(&(struct timespec){SPEAKER_S, 0}, NULL);
  // the others see that the file is gone
  if (rt_heartbeat_remove(&watchdog.beats))
    say(v);
  else // another rank prints
    nanosleep(&(struct timespec){SPEAKER_S, 0}, NULL);
  // the main thread is blocked, so no exit handlers
  _exit(rt_err_exit_code(RT_ERR_HANG));
}

/** Is a checkpoint or shard being written?  The disk may be slow; the writer
 *  beats only before and after, and the others wait. */
static bool some_write(const verdict *v)
{
  for (int r = 0; r < watchdog.n_ranks; r++)
    if (v->now[r].tick > 0 &&
        (strstr(v->now[r].doing, rt_phase_name(RT_PHASE_CHECKPOINT)) != NULL ||
         strstr(v->now[r].doing, rt_phase_name(RT_PHASE_WRITE)) != NULL))
      return true;
  return false;
}

/** Should the watchdog wait longer?  A rank that waits deliberately judges by
 *  the others only.  One in set-up may wait for a rank that reads a corpus for
 *  all: it judges by whichever gave the latest sign of life.  If all ranks wait
 *  in collectives, none of them reads or writes, and none is in set-up.  Verbs
 *  without a job never beat: they may read for hours. */
static bool is_patient(const verdict *v, bool began)
{
  const bool waits = atomic_load(&watchdog.waits);
  const double silent_s = waits ? v->oldest_s : began ? age_s() : v->set_up_s;
  const bool slow = !v->all_wait && (some_write(v) || !(began || waits));
  const bool beats = atomic_load(&watchdog.phases) != NULL;
  const double patience = !slow                              ? 1.0
                          : beats || watchdog.beats.run == 0 ? RT_PATIENCE
                                                             : INFINITY;
  return silent_s <= patience * watchdog.limit_s;
}

/** Number of comparisons of lines.  Healthy ranks make their lines visible to
 *  other nodes only occasionally (see stamp), so a waiting rank allows time for
 *  that. */
static int rounds(void)
{
  const double long_enough = 0.5 * watchdog.limit_s / every_s();
  return atomic_load(&watchdog.waits) && long_enough > ROUNDS ? (int)long_enough
                                                              : ROUNDS;
}

/** The limit has passed: find out which ranks are alive, and end the job unless
 *  a beat arrives. */
static void suspect(void)
{
  const uint64_t n_beats = atomic_load(&watchdog.n_beats);
  const size_t n = (size_t)watchdog.n_ranks;
  const int n_rounds = rounds();
  rt_pulse *before = calloc(n, sizeof *before);
  rt_pulse *now = calloc(n, sizeof *now);
  bool *frozen = calloc(n, sizeof *frozen);
  bool judged = before != NULL && now != NULL && frozen != NULL;
  if (judged) {
    rt_heartbeat_read(&watchdog.beats, before);
    for (int i = 0; judged && i < n_rounds; i++) {
      stamp(!atomic_load(&watchdog.waits));
      judged = wait_s(every_s()) && atomic_load(&watchdog.n_beats) == n_beats;
    }
  }
  if (judged) {
    stamp(true);
    const bool seen = rt_heartbeat_read(&watchdog.beats, now);
    if (!seen) // another rank has printed the message and ends the job
      nanosleep(&(struct timespec){SPEAKER_S, 0}, NULL);
    const verdict v = judge(before, now, frozen, seen);
    if (v.n_frozen > 0 || !is_patient(&v, n_beats > 0))
      end_job(&v);
  }
  free(before);
  free(now);
  free(frozen);
}

/** During set-up there are no beats: entering a collective counts as a sign of
 *  life, and so does each piece of a large file that is read. */
static void look_at_set_up(void)
{
  const uint64_t n = rt_ranks_count() + rt_ranks_signs();
  if (n != watchdog.n_signs && !has_begun())
    atomic_store(&watchdog.beat_s, rt_now_s());
  watchdog.n_signs = n;
}

/** Open the file when a rank of this node is in doubt, and from the first beat
 *  on in any case.  From then on it is in the run's folder, which is locked,
 *  and during set-up also if there are several nodes and the folder exists;
 *  otherwise it is the file of this node. */
static void open_or_move(bool doubt)
{
  rt_heartbeat *h = &watchdog.beats;
  h->run = atomic_load(&watchdog.run);
  h->one_node = atomic_load(&watchdog.one_node);
  h->folder = has_begun() || !h->one_node ? atomic_load(&watchdog.folder) : "";
  if (h->run == 0)
    return;
  if (h->open && !h->in_folder && has_begun() && rt_folder_exists(h->folder))
    rt_heartbeat_remove(h);
  if (!h->open && (doubt || has_begun() || rt_heartbeat_calls(h)))
    rt_heartbeat_open(h);
}

static void *watch(void *unused)
{
  (void)unused;
  double since = rt_now_s();
  while (wait_s(every_s())) {
    // a process that was itself stopped and continued knows nothing about the
    // others
    if (rt_now_s() - since > 2.0 * every_s() + 1.0)
      atomic_store(&watchdog.beat_s, rt_now_s());
    look_at_set_up();
    const double limit_s = atomic_load(&watchdog.limit_s);
    const bool doubt = limit_s > 0.0 && age_s() > 0.5 * limit_s &&
                       !atomic_load(&watchdog.waits);
    open_or_move(doubt);
    stamp(doubt);
    if (limit_s > 0.0 && age_s() > limit_s)
      suspect();
    since = rt_now_s();
  }
  return NULL;
}

/** Start the thread with signals blocked: they go to the main thread. */
static int start_thread(void)
{
  sigset_t all, before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  const int code = pthread_create(&watchdog.thread, NULL, watch, NULL);
  pthread_sigmask(SIG_SETMASK, &before, NULL);
  return code;
}

/** Identifies the set of processes that see each other's files; several
 *  containers may share a host name. */
static int64_t place(void)
{
  struct {
    char host[64];
    uint64_t device, inode;
  } here;
  struct stat s;
  memset(&here, 0, sizeof here);
  gethostname(here.host, sizeof here.host - 1);
  if (stat(rt_heartbeat_tmp(), &s) == 0) {
    here.device = s.st_dev;
    here.inode = s.st_ino;
  }
  return (int64_t)(rt_hash_xxh3(&here, sizeof here) >> 1);
}

/** Distribute rank 0's identifier of the run, and whether all ranks share a
 *  node. */
static rt_err share(MPI_Comm world)
{
  const int64_t here = place();
  const int64_t run = (int64_t)time(NULL) << 20 ^ (int64_t)getpid();
  int64_t least[3] = {here, -here, watchdog.rank == 0 ? run : INT64_MAX};
  RT_TRY_MEETING("all-reduce", MPI_Allreduce(MPI_IN_PLACE, least, 3,
                                             MPI_INT64_T, MPI_MIN, world));
  atomic_store(&watchdog.one_node, least[0] == -least[1]);
  if (least[2] != INT64_MAX) // otherwise this rank skipped it
    atomic_store(&watchdog.run, (uint64_t)least[2]);
  return RT_OK;
}

static void init(double limit_s)
{
  rt_heartbeat_init(&watchdog.beats, "", 0, watchdog.rank, watchdog.n_ranks);
  watchdog.flushed_s = 0.0;
  watchdog.n_signs = 0;
  atomic_store(&watchdog.limit_s, limit_s);
  atomic_store(&watchdog.run, 0);
  atomic_store(&watchdog.folder, "");
  atomic_store(&watchdog.phases, NULL);
  atomic_store(&watchdog.step, 0);
  atomic_store(&watchdog.phase, SET_UP);
  atomic_store(&watchdog.n_beats, 0);
  atomic_store(&watchdog.waits, false);
  atomic_store(&watchdog.beat_s, rt_now_s());
  watchdog.stop = false;
  pthread_condattr_t monotonic;
  pthread_condattr_init(&monotonic);
  pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
  pthread_mutex_init(&watchdog.lock, NULL);
  pthread_cond_init(&watchdog.wake, &monotonic);
  pthread_condattr_destroy(&monotonic);
}

rt_err rt_watchdog_begin(MPI_Comm world, double limit_s)
{
  RT_TRY_MPI(MPI_Comm_rank(world, &watchdog.rank));
  RT_TRY_MPI(MPI_Comm_size(world, &watchdog.n_ranks));
  init(limit_s);
  const int code = start_thread();
  watchdog.running = code == 0;
  RT_TRY(share(world));
  RT_CHECK(code == 0, RT_ERR_MEM, "no thread to watch: %s", strerror(code));
  return RT_OK;
}

void rt_watchdog_limit(double limit_s)
{
  atomic_store(&watchdog.limit_s, limit_s);
}

rt_err rt_watchdog_start(const rt_comm *world, const char *folder,
                         double limit_s, const rt_phases *phases)
{
  if (!watchdog.running)
    RT_TRY(rt_agree(world, rt_watchdog_begin(rt_comm_mpi(world), limit_s)));
  atomic_store(&watchdog.folder, folder);
  atomic_store(&watchdog.phases, phases);
  atomic_store(&watchdog.limit_s, limit_s);
  return RT_OK;
}

void rt_watchdog_stop(void)
{
  if (!watchdog.running)
    return;
  pthread_mutex_lock(&watchdog.lock);
  watchdog.stop = true;
  pthread_cond_signal(&watchdog.wake);
  pthread_mutex_unlock(&watchdog.lock);
  pthread_join(watchdog.thread, NULL);
  watchdog.running = false;
  pthread_cond_destroy(&watchdog.wake);
  pthread_mutex_destroy(&watchdog.lock);
  if (watchdog.rank == 0)
    rt_heartbeat_remove(&watchdog.beats);
  else
    rt_heartbeat_close(&watchdog.beats);
}
