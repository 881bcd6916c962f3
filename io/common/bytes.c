/** \file bytes.c */
#include "io/common/bytes.h"

#include <stdlib.h>
#include <string.h>

rt_err rt_bytes_room(rt_bytes *b, size_t more)
{
  if (b->room - b->n >= more)
    return RT_OK;
  const size_t room = 2 * (b->n + more);
  unsigned char *const data = realloc(b->data, room);
  RT_CHECK(data != NULL, RT_ERR_MEM, "%zu bytes of records", room);
  b->data = data;
  b->room = room;
  return RT_OK;
}

rt_err rt_bytes_fit(rt_bytes *b, size_t n)
{
  b->n = 0;
  if (b->room >= n)
    return RT_OK;
  rt_bytes_clear(b);
  b->data = malloc(n);
  RT_CHECK(b->data != NULL, RT_ERR_MEM, "%zu bytes of records", n);
  b->room = n;
  return RT_OK;
}

void rt_bytes_clear(rt_bytes *bytes)
{
  free(bytes->data);
  *bytes = (rt_bytes){0};
}

rt_err rt_bytes_take(rt_bytes_in *in, size_t n, const unsigned char **out)
{
  RT_CHECK(n <= in->n - in->at, RT_ERR_DATA,
           "%s: ends after %zu bytes, %zu more expected", in->name, in->n,
           n - (in->n - in->at));
  *out = in->data + in->at;
  in->at += n;
  return RT_OK;
}

rt_err rt_bytes_take_u32(rt_bytes_in *in, uint32_t *out)
{
  const unsigned char *from;
  RT_TRY(rt_bytes_take(in, sizeof *out, &from));
  memcpy(out, from, sizeof *out);
  return RT_OK;
}

rt_err rt_bytes_take_u64(rt_bytes_in *in, uint64_t *out)
{
  const unsigned char *from;
  RT_TRY(rt_bytes_take(in, sizeof *out, &from));
  memcpy(out, from, sizeof *out);
  return RT_OK;
}

rt_err rt_bytes_put(rt_bytes *out, const void *data, size_t n)
{
  RT_TRY(rt_bytes_room(out, n));
  if (n > 0)
    memcpy(out->data + out->n, data, n);
  out->n += n;
  return RT_OK;
}

rt_err rt_bytes_put_u32(rt_bytes *out, uint32_t x)
{
  return rt_bytes_put(out, &x, sizeof x);
}

rt_err rt_bytes_put_u64(rt_bytes *out, uint64_t x)
{
  return rt_bytes_put(out, &x, sizeof x);
}
