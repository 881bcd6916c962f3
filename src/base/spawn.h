/** \file spawn.h
 *  Ask another program.  Layer: base. */
#ifndef RT_SPAWN_H
#define RT_SPAWN_H

#include "base/err.h"
#include <stddef.h>

/** Run \a argv (found in PATH, ended by NULL), and take what it prints into
 *  \a text [n], clipped, 0-terminated.  Its stderr is not shown. RT_ERR_NOINPUT
 *  says why there is no answer: no such program, not 0 as its exit code, or
 * more than \a limit_s seconds, after which it is killed.  Shares no memory
 * with the child, so it is safe in an MPI process. */
RT_MUST rt_err rt_spawn_read(char *const argv[], double limit_s, char *text,
                             size_t n);

#endif
