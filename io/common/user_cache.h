/** \file user_cache.h
 *  The user's cache folder, and numbers cached in it.  Layer: io.
 *
 *  If it is absent, unwritable or damaged, the cache is simply empty. */
#ifndef RT_USER_CACHE_H
#define RT_USER_CACHE_H

#include "base/err.h"
#include "base/file.h"

/** $XDG_CACHE_HOME/retort, or else ~/.cache/retort; created if absent. */
RT_MUST rt_err rt_user_cache_folder(char folder[RT_PATH_MAX]);

/** The number kept under \a key, a line of text; \a path is the file that has
 *  it, "" without a folder. */
bool rt_user_cache_get(const char *key, char path[RT_PATH_MAX], double *value);
/** Keep one; false when it could not be. */
bool rt_user_cache_put(const char *key, double value);

#endif
