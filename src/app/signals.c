/** \file signals.c
 *  Signals that ask to stop. */
#include "app/signals.h"

#include <errno.h>
#include <signal.h>
#include <string.h>

static volatile sig_atomic_t asked; // a handler has no argument

static void ask(int signal_number)
{
  (void)signal_number;
  asked = 1;
}

static rt_err install(int signal_number, int flags)
{
  struct sigaction action = {.sa_handler = ask, .sa_flags = flags};
  sigemptyset(&action.sa_mask);
  RT_CHECK(sigaction(signal_number, &action, NULL) == 0, RT_ERR_INTERNAL,
           "cannot handle signal %d: %s", signal_number, strerror(errno));
  return RT_OK;
}

rt_err rt_signals_install(void)
{
  RT_TRY(install(SIGUSR1, SA_RESTART));
  return install(SIGTERM, SA_RESTART | (int)SA_RESETHAND);
}

bool rt_signals_stop_asked(void)
{
  return asked != 0;
}
