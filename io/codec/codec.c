/** \file codec.c
 *  Encodings of teacher logits: code common to all kinds. */
#include "io/codec/codec.h"

#include "io/codec/codec_exact.h"
#include "io/codec/packed_lanes.h"

#include <stdlib.h>

struct rt_codec {
  rt_codec_spec spec;
  rt_packed *packed; // owned; NULL for `exact`
};

static rt_err create(const rt_codec_spec *spec, const char *name,
                     rt_codec **out)
{
  *out = NULL;
  RT_TRY(rt_codec_spec_check(spec, name));
  rt_codec *const c = calloc(1, sizeof *c);
  RT_CHECK(c != NULL, RT_ERR_MEM, "tables of %zu bytes", sizeof *c);
  c->spec = *spec;
  *out = c;
  return RT_OK;
}

/** Return \a err; if it is an error, destroy *out. */
static rt_err outcome(rt_err err, rt_codec **out)
{
  if (err != RT_OK)
    rt_codec_destroy(out);
  return err;
}

rt_err rt_codec_learn(const rt_codec_spec *spec, const rt_logits_row *rows,
                      int64_t n_rows, rt_codec **out)
{
  RT_TRY(create(spec, "encoding", out));
  if (spec->kind == RT_CODEC_EXACT)
    return RT_OK;
  return outcome(rt_packed_learn(spec, rows, n_rows, &(*out)->packed), out);
}

rt_err rt_codec_load(const rt_codec_spec *spec, const void *tables, size_t n,
                     const char *name, rt_codec **out)
{
  rt_bytes_in in = {.data = tables, .n = n, .name = name};
  RT_TRY(create(spec, name, out));
  if (spec->kind != RT_CODEC_EXACT)
    return outcome(rt_packed_load(spec, &in, &(*out)->packed), out);
  return n == 0 ? RT_OK
                : outcome(RT_FAIL(RT_ERR_DATA,
                                  "%s: %zu bytes of tables, expected none",
                                  name, n),
                          out);
}

rt_err rt_codec_store(const rt_codec *codec, rt_bytes *out)
{
  return codec->packed != NULL ? rt_packed_store(codec->packed, out) : RT_OK;
}

size_t rt_codec_bytes(const rt_codec_spec *spec, const void *tables, size_t n)
{
  return sizeof(rt_codec) +
         (spec->kind != RT_CODEC_EXACT ? rt_packed_bytes(spec, tables, n) : 0);
}

void rt_codec_destroy(rt_codec **codec)
{
  if (*codec != NULL)
    rt_packed_destroy(&(*codec)->packed);
  free(*codec);
  *codec = NULL;
}

rt_err rt_codec_encode(const rt_codec *codec, const rt_logits_row *row,
                       rt_bytes *out)
{
  RT_TRY(rt_codec_check_row(&codec->spec, "row to encode", row));
  return codec->packed != NULL ? rt_packed_encode(codec->packed, row, out)
                               : rt_codec_encode_exact(&codec->spec, row, out);
}

rt_err rt_codec_decode(const rt_codec *codec, const void *record, size_t n,
                       const char *name, rt_logits_row *out)
{
  rt_bytes_in in = {.data = record, .n = n, .name = name};
  out->stored = true;
  return codec->packed != NULL ? rt_packed_decode(codec->packed, &in, out)
                               : rt_codec_decode_exact(&codec->spec, &in, out);
}

int rt_codec_at_once(rt_codec_kind kind)
{
  static_assert((int)RT_CODEC_AT_ONCE == (int)RT_LANES, "records and lanes");
  return kind != RT_CODEC_EXACT && rt_lanes_permitted() ? RT_CODEC_AT_ONCE : 1;
}

rt_err rt_codec_decode_all(const rt_codec_record *records, int n)
{
  rt_packed_record packed[RT_CODEC_AT_ONCE];
  RT_ASSERT(n <= RT_CODEC_AT_ONCE);
  for (int i = 0; i < n; i++) {
    const rt_codec_record *const r = &records[i];
    if (r->codec->packed == NULL) {
      RT_TRY(rt_codec_decode(r->codec, r->data, r->n, r->name, r->row));
      continue;
    }
    r->row->stored = true;
    packed[i] =
        (rt_packed_record){.k = r->codec->packed,
                           .in = {.data = r->data, .n = r->n, .name = r->name},
                           .row = r->row};
  }
  return n > 0 && records[0].codec->packed != NULL
             ? rt_packed_decode_all(packed, n)
             : RT_OK;
}
