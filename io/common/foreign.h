/** \file foreign.h
 *  Files that are not what their name promises, told by their first bytes, for
 *  messages.  Layer: io. */
#ifndef RT_FOREIGN_H
#define RT_FOREIGN_H

#include "base/err.h"
#include <stddef.h>

/** What \a n first bytes of a file show, and what to do: "a Git LFS pointer,
 *  not the file itself: fetch it with `git lfs pull`"; NULL: nothing known. */
const char *rt_foreign_kind(const void *head, size_t n);
/** The same of a file by its name; also "text" of what can be nothing else.
 *  NULL when it cannot be read. */
const char *rt_foreign_file(const char *path);
/** RT_ERR_DATA when \a path is a file of a known other kind. */
RT_MUST rt_err rt_foreign_refuse(const char *path);

#endif
