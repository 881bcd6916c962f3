/** \file signals.c
 *  Handling of signals. */
#include "app/signals.h"

#include <errno.h>
#include <signal.h>
#include <string.h>

static volatile sig_atomic_t asked; // static, because a handler has no argument

static void ask(int signal_number)
{
  (void)signal_number;
  asked = 1;
}

static rt_err install(int signal_number, int flags)
{
  struct sigaction action = {.sa_handler = ask, .sa_flags = flags}, before;
  sigemptyset(&action.sa_mask);
  RT_CHECK(sigaction(signal_number, NULL, &before) == 0, RT_ERR_INTERNAL,
           "cannot ask about signal %d: %s", signal_number, strerror(errno));
  if ((before.sa_flags & SA_SIGINFO) == 0 && before.sa_handler == SIG_IGN)
    return RT_OK; // ignored by nohup, or for a shell's background job
  RT_CHECK(sigaction(signal_number, &action, NULL) == 0, RT_ERR_INTERNAL,
           "cannot handle signal %d: %s", signal_number, strerror(errno));
  return RT_OK;
}

rt_err rt_signals_install(void)
{
  // SIGUSR2: run limit of LSF and Grid Engine; SIGXCPU: ulimit -t
  static const int asking[] = {SIGUSR1, SIGUSR2, SIGTERM, SIGXCPU, SIGHUP};
  for (size_t i = 0; i < sizeof asking / sizeof asking[0]; i++)
    RT_TRY(install(asking[i], SA_RESTART));
  return asked == 0 ? install(SIGINT, SA_RESTART | (int)SA_RESETHAND) : RT_OK;
}

void rt_signals_keep_writing(void)
{
  signal(SIGPIPE, SIG_IGN); // writes return EPIPE instead
  signal(SIGXFSZ, SIG_IGN); // writes return EFBIG instead
}

bool rt_signals_stop_asked(void)
{
  return asked != 0;
}
