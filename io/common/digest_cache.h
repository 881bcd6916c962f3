/** \file digest_cache.h
 *  Digests of files that an earlier process has read, in the user's cache
 *  folder ($XDG_CACHE_HOME/retort/digests, else ~/.cache).  Layer: io.
 *
 *  It may be absent, unwritable, damaged, or written by several processes at
 *  once: then files are read again, and nothing else happens. */
#ifndef RT_DIGEST_CACHE_H
#define RT_DIGEST_CACHE_H

#include "base/err.h"
#include "base/hash.h"
#include <stdint.h>

/** What changes when a file does. */
typedef struct rt_stamp {
  uint64_t inode;
  int64_t bytes, mtime_ns, ctime_ns;
} rt_stamp;
RT_MUST rt_err rt_stamp_of(const char *path, rt_stamp *out);
bool rt_stamp_same(const rt_stamp *a, const rt_stamp *b);
/** Nanoseconds since 1970, as the stamps count. */
int64_t rt_stamp_now(void);

typedef struct rt_digest_cache rt_digest_cache;
/** NULL when there is none; everything below takes that. */
rt_digest_cache *rt_digest_cache_open(void);
void rt_digest_cache_close(rt_digest_cache **cache);
const char *rt_digest_cache_path(const rt_digest_cache *cache);

/** The digest of \a path as \a stamp describes it, if it is known. */
bool rt_digest_cache_get(const rt_digest_cache *cache, const char *path,
                         const rt_stamp *stamp, char hex[RT_SHA256_HEX]);
/** Keep one that was read from \a began_ns on.  A file changed less than two
 *  seconds before is not kept: it could change again without showing it. */
void rt_digest_cache_put(rt_digest_cache *cache, const char *path,
                         const rt_stamp *stamp, int64_t began_ns,
                         const char hex[RT_SHA256_HEX]);

#endif
