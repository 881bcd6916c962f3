/** \file hash.h
 *  Hashes: XXH3 for records and blocks, SHA-256 for files.  Layer: base. */
#ifndef RT_HASH_H
#define RT_HASH_H

#include "base/err.h"
#include <stddef.h>
#include <stdint.h>

#define RT_SHA256_HEX 65 /**< 64 hex digits and the terminating 0 */

/** XXH3-64 of \a n bytes. */
uint64_t rt_hash_xxh3(const void *data, size_t n);

/** A SHA-256 that is computed incrementally.  Opaque, heap. */
typedef struct rt_sha256 rt_sha256;
RT_MUST rt_err rt_sha256_create(rt_sha256 **out);
void rt_sha256_update(rt_sha256 *h, const void *data, size_t n);
/** Return the hex digest and destroy the hash.  "" if libcrypto failed at any
 *  point; that differs from every digest. */
void rt_sha256_finish(rt_sha256 **h, char hex[RT_SHA256_HEX]);

/** SHA-256 of \a n bytes, as hex. */
RT_MUST rt_err rt_hash_text(const char *text, size_t n,
                            char hex[RT_SHA256_HEX]);
/** SHA-256 of a whole file, as hex. */
RT_MUST rt_err rt_hash_file(const char *path, char hex[RT_SHA256_HEX]);

#endif
