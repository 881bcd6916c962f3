/** \file digest_cache.h
 *  Cache of file digests in the user's cache folder
 *  ($XDG_CACHE_HOME/retort/digests, default ~/.cache).  Layer: io.
 *
 *  The cache may be absent, unwritable, damaged, or written by several
 *  processes at once; in all these cases files are simply hashed again. */
#ifndef RT_DIGEST_CACHE_H
#define RT_DIGEST_CACHE_H

#include "base/err.h"
#include "base/hash.h"
#include <stdint.h>

/** Properties that change whenever a file's contents do. */
typedef struct rt_stamp {
  uint64_t inode;
  int64_t bytes, mtime_ns, ctime_ns;
} rt_stamp;
RT_MUST rt_err rt_stamp_of(const char *path, rt_stamp *out);
bool rt_stamp_same(const rt_stamp *a, const rt_stamp *b);
/** Current time in nanoseconds since 1970, as used in stamps. */
int64_t rt_stamp_now(void);

/** Can this user read and write the cache?  Says why not: for a warning, as the
 *  functions below do without. */
RT_MUST rt_err rt_digest_cache_check(void);

typedef struct rt_digest_cache rt_digest_cache;
/** Open the cache; NULL if there is none, which all functions below accept. */
rt_digest_cache *rt_digest_cache_open(void);
void rt_digest_cache_close(rt_digest_cache **cache);
const char *rt_digest_cache_path(const rt_digest_cache *cache);

/** The cached digest of \a path in the state described by \a stamp, if there is
 *  one. */
bool rt_digest_cache_get(const rt_digest_cache *cache, const char *path,
                         const rt_stamp *stamp, char hex[RT_SHA256_HEX]);
/** Store a digest whose file was read from time \a began_ns on.  A file that
 *  was modified less than two seconds before is not stored, because its time
 *  stamps might not show a further change. */
void rt_digest_cache_put(rt_digest_cache *cache, const char *path,
                         const rt_stamp *stamp, int64_t began_ns,
                         const char hex[RT_SHA256_HEX]);

#endif
