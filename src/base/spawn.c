/** \file spawn.c
 *  Run a child process and read its output. */
#include "base/spawn.h"

#include "base/clock.h"
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

/** Start the child in its own process group, so that its descendants can be
 *  killed too, and with the default signal handling of a shell. */
static int start(char *const argv[], int out, pid_t *pid)
{
  posix_spawn_file_actions_t files;
  posix_spawnattr_t how;
  sigset_t all, none;
  sigfillset(&all);
  sigemptyset(&none);
  posix_spawn_file_actions_init(&files);
  posix_spawn_file_actions_addopen(&files, 0, "/dev/null", O_RDONLY, 0);
  posix_spawn_file_actions_adddup2(&files, out, 1);
  posix_spawn_file_actions_addopen(&files, 2, "/dev/null", O_WRONLY, 0);
  posix_spawnattr_init(&how);
  posix_spawnattr_setpgroup(&how, 0);
  posix_spawnattr_setsigdefault(&how, &all);
  posix_spawnattr_setsigmask(&how, &none);
  posix_spawnattr_setflags(&how, POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGDEF |
                                     POSIX_SPAWN_SETSIGMASK);
  const int code = posix_spawnp(pid, argv[0], &files, &how, argv, environ);
  posix_spawnattr_destroy(&how);
  posix_spawn_file_actions_destroy(&files);
  return code;
}

/** Read until the end of the output or the time \a until_s; false: timed out.
 */
static bool take(int from, double until_s, char *text, size_t n)
{
  size_t used = 0;
  char beyond[256];
  for (;;) {
    const double left_s = until_s - rt_now_s();
    struct pollfd p = {.fd = from, .events = POLLIN};
    const int ready = poll(&p, 1, left_s > 0.0 ? (int)(1e3 * left_s) : 0);
    if (ready < 0 && errno == EINTR)
      continue;
    if (ready <= 0)
      return false;
    const bool room = used + 1 < n;
    const ssize_t got = read(from, room ? text + used : beyond,
                             room ? n - 1 - used : sizeof beyond);
    if (got < 0 && errno == EINTR)
      continue;
    if (got <= 0)
      return true;
    used += room ? (size_t)got : 0;
    text[used] = '\0';
  }
}

rt_err rt_spawn_read(char *const argv[], double limit_s, char *text, size_t n)
{
  int ends[2], status = 0;
  pid_t pid = 0;
  text[0] = '\0';
  RT_CHECK(pipe2(ends, O_CLOEXEC) == 0, RT_ERR_NOINPUT, "no pipe to %s: %s",
           argv[0], strerror(errno));
  const int code = start(argv, ends[1], &pid);
  close(ends[1]);
  bool ended = false;
  if (code == 0) {
    ended = take(ends[0], rt_now_s() + limit_s, text, n);
    if (!ended)
      kill(-pid, SIGKILL);
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
      ;
  }
  close(ends[0]);
  RT_CHECK(code == 0, RT_ERR_NOINPUT, "%s cannot be run: %s", argv[0],
           strerror(code));
  RT_CHECK(ended, RT_ERR_NOINPUT, "%s gave no answer in %g s", argv[0],
           limit_s);
  RT_CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0, RT_ERR_NOINPUT,
           "%s failed", argv[0]);
  return RT_OK;
}
