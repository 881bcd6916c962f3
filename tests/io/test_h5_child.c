/** \file test_h5_child.c
 *  The process that opens HDF5 files: it must be there, it holds nothing of the
 *  launcher's, no signal that asks a job to stop ends it, and it never outlives
 *  who started it. */
#include "io/common/h5_reader.h"

#include "base/clock.h"
#include "support/h5_file.h"
#include "support/rt_test.h"
#include "support/scratch.h"
#include <signal.h>
#include <sys/wait.h>

static char folder[RT_PATH_MAX], path[RT_PATH_MAX];

/** A small file to open. */
static void begin(void)
{
  rt_h5 *h5;
  scratch_create(folder);
  RT_OKAY(rt_path_join(path, folder, "x.h5"));
  RT_OKAY(rt_h5_create(path, &h5));
  RT_OKAY(rt_h5_put_int(h5, "n", 7));
  RT_OKAY(h5_save(&h5, path));
}

/** Can it be opened, and is it what was written? */
static bool opens(void)
{
  rt_h5_reader *in;
  int64_t n = 0;
  if (h5_open(path, &in) != RT_OK)
    return false;
  const rt_err err = rt_h5_reader_int(in, "n", &n);
  rt_h5_reader_close(&in);
  return err == RT_OK && n == 7;
}

/** What FILE of /proc/PID says, "" when there is none. */
static const char *look(pid_t pid, const char *file, char text[4096])
{
  char name[128];
  snprintf(name, sizeof name, "/proc/%d/%s", (int)pid, file);
  FILE *const f = fopen(name, "r");
  const size_t n = f != NULL ? fread(text, 1, 4095, f) : 0;
  text[n] = '\0';
  if (f != NULL)
    fclose(f);
  return text;
}

/** The process of \a asker; 0: none. */
static pid_t keeper_of(pid_t asker)
{
  char text[4096], file[64], name[4096];
  snprintf(file, sizeof file, "task/%d/children", (int)asker);
  look(asker, file, text);
  for (const char *at = text; *at != '\0';) {
    char *end;
    const pid_t pid = (pid_t)strtol(at, &end, 10);
    if (end == at)
      break;
    if (strcmp(look(pid, "comm", name), "retort-h5\n") == 0)
      return pid;
    at = end;
  }
  return 0;
}

/** It has ended; a container's first process may not have taken note. */
static bool is_gone(pid_t pid)
{
  char text[4096];
  const char *const at = strrchr(look(pid, "stat", text), ')');
  return at == NULL || at[2] == 'Z' || at[2] == 'X';
}

static bool goes(pid_t pid)
{
  const double end_s = rt_now_s() + 10;
  while (!is_gone(pid) && rt_now_s() < end_s)
    usleep(1000);
  return is_gone(pid);
}

static void test_absent(void)
{
  begin();
  const pid_t first = keeper_of(getpid());
  CU_ASSERT_TRUE(first > 0);
  CU_ASSERT_TRUE(opens());
  rt_h5_child_stop();
  CU_ASSERT_TRUE(is_gone(first));
  rt_h5_reader *in;
  RT_FAILS(h5_open(path, &in), RT_ERR_INTERNAL, "no process");
  CU_ASSERT_PTR_NULL(in);
  rt_h5_child_stop(); // nothing to do
  RT_OKAY(rt_h5_child_start());
  CU_ASSERT_TRUE(opens());
  RT_FAILS(rt_h5_child_start(), RT_ERR_INTERNAL, "is there");
  scratch_remove(folder);
}

/** What is open in it: nothing but the socket. */
static void test_holds_nothing(void)
{
  begin();
  CU_ASSERT_TRUE(opens());
  const pid_t keeper = keeper_of(getpid());
  int sockets = 0, others = 0;
  for (int i = 0; i < 1024; i++) {
    char name[64], to[256] = "";
    snprintf(name, sizeof name, "/proc/%d/fd/%d", (int)keeper, i);
    if (readlink(name, to, sizeof to - 1) < 0)
      continue;
    sockets += strncmp(to, "socket:", 7) == 0;
    others += strncmp(to, "socket:", 7) != 0 && strcmp(to, "/dev/null") != 0;
  }
  CU_ASSERT_EQUAL(sockets, 1);
  CU_ASSERT_EQUAL(others, 0);
  scratch_remove(folder);
}

static void test_signals(void)
{
  static const int asking[] = {SIGINT,  SIGTERM, SIGHUP,
                               SIGQUIT, SIGUSR1, SIGUSR2};
  begin();
  const pid_t keeper = keeper_of(getpid());
  for (size_t i = 0; i < sizeof asking / sizeof asking[0]; i++)
    CU_ASSERT_EQUAL(kill(keeper, asking[i]), 0);
  CU_ASSERT_TRUE(opens());
  CU_ASSERT_EQUAL(keeper_of(getpid()), keeper);
  scratch_remove(folder);
}

/** Killed from outside: said, and no wait without end. */
static void test_killed(void)
{
  begin();
  rt_h5_reader *in;
  CU_ASSERT_EQUAL(kill(keeper_of(getpid()), SIGKILL), 0);
  RT_FAILS(h5_open(path, &in), RT_ERR_IO, "has ended");
  RT_FAILS(h5_open(path, &in), RT_ERR_IO, "has ended");
  rt_h5_child_stop();
  RT_OKAY(rt_h5_child_start());
  CU_ASSERT_TRUE(opens());
  scratch_remove(folder);
}

/** Its asker is killed: it ends, also while it is stopped or at work. */
static void test_asker_dies(void)
{
  begin();
  for (int k = 0; k < 2; k++) {
    int ends[2];
    CU_ASSERT_EQUAL_FATAL(pipe(ends), 0);
    const pid_t asker = fork();
    if (asker == 0) {
      rt_h5_child_stop(); // it is the parent's, not ours: only closes
      const char good = rt_h5_child_start() == RT_OK && opens();
      if (write(ends[1], &good, 1) == 1)
        pause();
      _exit(1);
    }
    char good = 0;
    CU_ASSERT_EQUAL(read(ends[0], &good, 1), 1);
    CU_ASSERT_TRUE(good);
    const pid_t keeper = keeper_of(asker);
    CU_ASSERT_TRUE(keeper > 0);
    if (k == 1)
      CU_ASSERT_EQUAL(kill(keeper, SIGSTOP), 0);
    CU_ASSERT_EQUAL(kill(asker, SIGKILL), 0);
    CU_ASSERT_EQUAL(waitpid(asker, NULL, 0), asker);
    CU_ASSERT_TRUE(keeper > 0 && goes(keeper));
    close(ends[0]);
    close(ends[1]);
  }
  CU_ASSERT_TRUE(opens()); // ours is still there
  scratch_remove(folder);
}

/** Another file bears the name by the time HDF5 opens it: never that one. */
static void test_same_file(void)
{
  begin();
  const int fd = open(path, O_RDONLY);
  rt_bytes records = {0};
  rt_h5 *h5;
  RT_OKAY(rt_h5_child_ask(fd, path, &records));
  CU_ASSERT_EQUAL(unlink(path), 0);
  RT_OKAY(rt_h5_create(path, &h5));
  RT_OKAY(rt_h5_put_int(h5, "other", 8));
  RT_OKAY(h5_save(&h5, path));
  // some versions of HDF5 want a name, and say so
  const rt_err err = rt_h5_child_ask(fd, path, &records);
  CU_ASSERT_TRUE(err == RT_OK || err == RT_ERR_DATA);
  CU_ASSERT_PTR_NULL(memmem(records.data, records.n, "other", 5));
  close(fd);
  rt_bytes_clear(&records);
  scratch_remove(folder);
}

/** Forking for each file costs little. */
static void test_many(void)
{
  begin();
  const double begin_s = rt_now_s();
  int bad = 0;
  for (int i = 0; i < 500; i++)
    bad += !opens();
  CU_ASSERT_EQUAL(bad, 0);
  printf(" %.2f ms a file ", (rt_now_s() - begin_s) * 1e3 / 500);
  scratch_remove(folder);
}

RT_TEST_MAIN("h5_child", {"none is an error", test_absent},
             {"it holds nothing", test_holds_nothing},
             {"signals", test_signals}, {"killed", test_killed},
             {"the asker dies", test_asker_dies},
             {"the file that was opened", test_same_file},
             {"many files", test_many})
