/** \file test_watchdog.c
 *  Who beats lives, who hangs ends with 75 and is named; lines of the heartbeat
 *  file.  Limits here are a second.
 *  ranks: 1 */
#include "app/heartbeat.h"
#include "app/watchdog.h"
#include "base/clock.h"
#include "support/rt_test_files.h"

#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

static const double limit_s = 1.0;
enum { HUNG = 75 };

/** A process under a watchdog. */
typedef void life_fn(void);

static void watched(life_fn *life, double limit)
{
  rt_comm *self;
  static rt_phases phases;
  rt_phases_start(&phases, RT_PHASE_SETUP);
  if (rt_watchdog_begin(MPI_COMM_SELF, limit) != RT_OK ||
      rt_comm_create(MPI_COMM_SELF, &self) != RT_OK ||
      rt_watchdog_start(self, "", limit, &phases) != RT_OK)
    _exit(1);
  life();
  rt_watchdog_stop();
  _exit(0);
}

/** How such a process ends, and what it says; killed after 20 s. */
static int end_of(life_fn *life, double limit, char *said, size_t n)
{
  int ends[2], status = 0;
  size_t got = 0;
  CU_ASSERT_EQUAL_FATAL(pipe(ends), 0);
  fflush(NULL);
  const pid_t pid = fork();
  if (pid == 0) {
    alarm(20);
    dup2(ends[1], STDERR_FILENO);
    close(ends[0]);
    close(ends[1]);
    watched(life, limit);
  }
  close(ends[1]);
  for (ssize_t r = 1; r > 0 && got<n - 1; got += r> 0 ? (size_t)r : 0)
    r = read(ends[0], said + got, n - 1 - got);
  said[got] = '\0';
  close(ends[0]);
  CU_ASSERT_EQUAL(waitpid(pid, &status, 0), pid);
  return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

static void beats(void)
{
  for (int i = 0; i < 50; i++) {
    rt_watchdog_beat(i, "training");
    rt_test_sleep(0.05);
  }
}

static void beats_then_hangs(void)
{
  rt_watchdog_beat(41, "training");
  rt_watchdog_beat(42, "training");
  rt_test_sleep(15.0);
}

/** Reads a corpus, say. */
static void sets_up(void)
{
  rt_test_sleep(2.5);
}

/** Reads for longer than set-up may be silent, and hashes what it reads. */
static void hashes(void)
{
  for (int i = 0; i < 40; i++) {
    rt_ranks_alive();
    rt_test_sleep(0.1);
  }
}

static void reads_in_silence(void)
{
  rt_test_sleep(15.0);
}

static void test_beats(void)
{
  char said[4096];
  CU_ASSERT_EQUAL(end_of(beats, limit_s, said, sizeof said), 0);
  CU_ASSERT_STRING_EQUAL(said, "");
}

static void test_hang(void)
{
  char said[4096];
  const double since = rt_now_s();
  CU_ASSERT_EQUAL(end_of(beats_then_hangs, limit_s, said, sizeof said), HUNG);
  CU_ASSERT(rt_now_s() - since > limit_s);
  CU_ASSERT_PTR_NOT_NULL(strstr(said, "rank 0"));
  CU_ASSERT_PTR_NOT_NULL(strstr(said, "42"));
  CU_ASSERT_PTR_NOT_NULL(strstr(said, "run.watchdog_s"));
}

/** Far longer than a limit of a second would allow. */
static void beats_then_pauses(void)
{
  rt_watchdog_beat(1, "training");
  rt_test_sleep(2.5);
}

/** Without a beat ten times as long; without a limit for ever. */
static void test_patience(void)
{
  char said[4096];
  CU_ASSERT_EQUAL(end_of(sets_up, limit_s, said, sizeof said), 0);
  CU_ASSERT_EQUAL(end_of(beats_then_pauses, 0.0, said, sizeof said), 0);
}

/** In set-up, hashing is a sign of life. */
static void test_signs(void)
{
  char said[4096];
  CU_ASSERT_EQUAL(end_of(hashes, 0.25, said, sizeof said), 0);
  CU_ASSERT_STRING_EQUAL(said, "");
  CU_ASSERT_EQUAL(end_of(reads_in_silence, 0.25, said, sizeof said), HUNG);
}

/** Lines of three ranks, one of which has none, one of another run. */
static void test_lines(void)
{
  char folder[RT_PATH_MAX];
  rt_heartbeat h[3];
  rt_pulse all[3];
  rt_scratch(folder);
  for (int r = 0; r < 3; r++) {
    rt_heartbeat_init(&h[r], folder, r == 2 ? 8 : 7, r, 3);
    rt_heartbeat_open(&h[r]);
    CU_ASSERT(h[r].open && h[r].in_folder && h[r].everyone);
    h[r].mine.tick = 5;
    h[r].mine.main = 'S';
    h[r].mine.age_s = 1.5;
    h[r].mine.step = 1000 + r;
    h[r].mine.n_collectives = 77;
    snprintf(h[r].mine.where, sizeof h[r].mine.where, "exchange of rows");
    snprintf(h[r].mine.doing, sizeof h[r].mine.doing,
             "training, wait for input");
  }
  rt_heartbeat_write(&h[1], RT_HEARTBEAT_ALL);
  rt_heartbeat_write(&h[2], RT_HEARTBEAT_NODE);
  CU_ASSERT_TRUE(rt_heartbeat_read(&h[0], all));
  CU_ASSERT_EQUAL(all[0].tick, 5); // its own, from memory
  CU_ASSERT_EQUAL(all[1].tick, 5);
  CU_ASSERT_EQUAL(all[1].step, 1001);
  CU_ASSERT_EQUAL(all[1].n_collectives, 77);
  CU_ASSERT_EQUAL(all[1].main, 'S');
  CU_ASSERT_DOUBLE_EQUAL(all[1].age_s, 1.5, 1e-9);
  CU_ASSERT_EQUAL(all[1].pid, (int)getpid());
  CU_ASSERT_STRING_EQUAL(all[1].doing, "training, wait for input");
  CU_ASSERT_STRING_EQUAL(all[1].where, "exchange-of-rows");
  CU_ASSERT_EQUAL(all[2].tick, 0);                          // of another run
  memset(h[1].mine.doing, 'x', sizeof h[1].mine.doing - 1); // as long as may be
  h[1].mine.doing[sizeof h[1].mine.doing - 1] = '\0';
  rt_heartbeat_write(&h[1], RT_HEARTBEAT_NODE);
  CU_ASSERT_TRUE(rt_heartbeat_read(&h[0], all));
  CU_ASSERT_STRING_EQUAL(all[1].doing, h[1].mine.doing);
  CU_ASSERT_TRUE(rt_heartbeat_remove(&h[1])); // it ends the job
  CU_ASSERT_FALSE(rt_heartbeat_read(&h[0], all));
  CU_ASSERT_FALSE(rt_heartbeat_remove(&h[0])); // somebody else had
  rt_heartbeat_close(&h[2]);
  CU_ASSERT_FALSE(h[2].open);
  CU_ASSERT_TRUE(rt_heartbeat_remove(&h[2])); // not open
  RT_OKAY(rt_path_remove(folder));
}

RT_TEST_MAIN("watchdog", {"lines", test_lines},
             {"a process that beats", test_beats},
             {"a process that hangs", test_hang}, {"patience", test_patience},
             {"signs of life in set-up", test_signs})
