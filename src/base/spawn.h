/** \file spawn.h
 *  Run another program.  Layer: base. */
#ifndef RT_SPAWN_H
#define RT_SPAWN_H

#include "base/err.h"
#include <stddef.h>

/** Run \a argv (searched in PATH, NULL-terminated) and store its output in \a
 *  text [n], truncated and 0-terminated.  Its stderr is discarded.
 *  RT_ERR_NOINPUT says why there is no answer: no such program, a nonzero exit
 *  code, or more than \a limit_s seconds, after which the program is killed.
 *  The child shares no memory with this process, so this is safe in an MPI
 *  program. */
RT_MUST rt_err rt_spawn_read(char *const argv[], double limit_s, char *text,
                             size_t n);

#endif
