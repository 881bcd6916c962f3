/** \file bytes.h
 *  A growing byte buffer, and little-endian numbers appended to it or read from
 *  untrusted bytes.  Layer: io.  Not collective. */
#ifndef RT_BYTES_H
#define RT_BYTES_H

#include "base/err.h"
#include <stddef.h>
#include <stdint.h>

/** A growing buffer; free with rt_bytes_clear(). */
typedef struct rt_bytes {
  unsigned char *data; // owned [room]
  size_t n, room;
} rt_bytes;
/** Ensure capacity for \a more bytes beyond n. */
RT_MUST rt_err rt_bytes_room(rt_bytes *bytes, size_t more);
/** Make the buffer empty, with a capacity of \a n bytes (or the largest
 *  requested so far). */
RT_MUST rt_err rt_bytes_fit(rt_bytes *bytes, size_t n);
void rt_bytes_clear(rt_bytes *bytes);

RT_MUST rt_err rt_bytes_put(rt_bytes *out, const void *data, size_t n);
RT_MUST rt_err rt_bytes_put_u32(rt_bytes *out, uint32_t x);
RT_MUST rt_err rt_bytes_put_u64(rt_bytes *out, uint64_t x);

/** A reader of \a n bytes, which never reads beyond them. */
typedef struct rt_bytes_in {
  const unsigned char *data; // borrowed [n]
  size_t n, at;
  const char *name; // borrowed: for messages
} rt_bytes_in;
/** The next \a n bytes; RT_ERR_DATA if there are fewer. */
RT_MUST rt_err rt_bytes_take(rt_bytes_in *in, size_t n,
                             const unsigned char **out);
RT_MUST rt_err rt_bytes_take_u32(rt_bytes_in *in, uint32_t *out);
RT_MUST rt_err rt_bytes_take_u64(rt_bytes_in *in, uint64_t *out);

#endif
