/** \file signals.h
 *  SIGUSR1 and SIGTERM ask a run to stop with a checkpoint.  Layer: app. */
#ifndef RT_SIGNALS_H
#define RT_SIGNALS_H

#include "base/err.h"

/** Install the handlers.  A second SIGTERM ends the process as usual. */
RT_MUST rt_err rt_signals_install(void);
/** Did a signal ask this rank to stop? */
bool rt_signals_stop_asked(void);

#endif
