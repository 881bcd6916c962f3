/** \file bytes.h
 *  Bytes in memory: a buffer that grows, and little-endian numbers put into it
 *  or taken from bytes that nobody vouches for.  Layer: io.  Not collective. */
#ifndef RT_BYTES_H
#define RT_BYTES_H

#include "base/err.h"
#include <stddef.h>
#include <stdint.h>

/** Bytes that grow; free with rt_bytes_clear(). */
typedef struct rt_bytes {
  unsigned char *data; // owned [room]
  size_t n, room;
} rt_bytes;
/** Room for \a more bytes beyond n. */
RT_MUST rt_err rt_bytes_room(rt_bytes *bytes, size_t more);
/** Empty, with room for \a n bytes, and no more than the most that was asked.
 */
RT_MUST rt_err rt_bytes_fit(rt_bytes *bytes, size_t n);
void rt_bytes_clear(rt_bytes *bytes);

RT_MUST rt_err rt_bytes_put(rt_bytes *out, const void *data, size_t n);
RT_MUST rt_err rt_bytes_put_u32(rt_bytes *out, uint32_t x);
RT_MUST rt_err rt_bytes_put_u64(rt_bytes *out, uint64_t x);

/** Bytes as they are read: nothing beyond \a n is touched. */
typedef struct rt_bytes_in {
  const unsigned char *data; // borrowed [n]
  size_t n, at;
  const char *name; // borrowed: for messages
} rt_bytes_in;
/** The next \a n bytes; RT_ERR_DATA when there are fewer. */
RT_MUST rt_err rt_bytes_take(rt_bytes_in *in, size_t n,
                             const unsigned char **out);
RT_MUST rt_err rt_bytes_take_u32(rt_bytes_in *in, uint32_t *out);
RT_MUST rt_err rt_bytes_take_u64(rt_bytes_in *in, uint64_t *out);

#endif
