/** \file codec.c
 *  Encodings of teacher logits: what all kinds share. */
#include "io/codec/codec_parts.h"

#include <stdlib.h>
#include <string.h>

#define NAME(kind, text) text,
static const char *const kind_names[] = {RT_CODEC_KINDS(NAME)};
#undef NAME

const char *rt_codec_kind_name(rt_codec_kind kind)
{
  return kind_names[kind];
}

rt_err rt_codec_kind_parse(const char *text, rt_codec_kind *out)
{
  for (int k = 0; k < RT_CODEC_N_KINDS; k++)
    if (strcmp(text, kind_names[k]) == 0) {
      *out = (rt_codec_kind)k;
      return RT_OK;
    }
  return RT_FAIL(RT_ERR_CONFIG,
                 "\"%s\" is no encoding: exact, packed or sampled", text);
}

rt_err rt_codec_spec_check(const rt_codec_spec *s, const char *name)
{
  const bool sampled = s->kind == RT_CODEC_SAMPLED;
  RT_CHECK((int)s->kind >= 0 && s->kind < RT_CODEC_N_KINDS, RT_ERR_DATA,
           "%s: encoding %d is unknown", name, (int)s->kind);
  RT_CHECK(s->vocab >= 1 && s->vocab <= (uint64_t)1 << 32, RT_ERR_DATA,
           "%s: vocabulary of %llu, expected 1 to 2^32", name,
           (unsigned long long)s->vocab);
  RT_CHECK(s->max_tokens >= 1 && s->max_tokens <= 1 << 24, RT_ERR_DATA,
           "%s: rows of %lld tokens, expected 1 to 2^24", name,
           (long long)s->max_tokens);
  RT_CHECK(s->max_entries >= 1 && s->max_entries <= 1 << 20 &&
               (uint64_t)s->max_entries <= s->vocab,
           RT_ERR_DATA,
           "%s: up to %lld entries of a token, expected 1 to 2^20 and to the "
           "vocabulary's %llu",
           name, (long long)s->max_entries, (unsigned long long)s->vocab);
  RT_CHECK(sampled ? s->n_draws >= 1 && s->n_draws <= 2048 : s->n_draws == 0,
           RT_ERR_DATA, "%s: %lld draws for %s, expected %s", name,
           (long long)s->n_draws, kind_names[s->kind],
           sampled ? "1 to 2048" : "0");
  return RT_OK;
}

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

rt_err rt_codec_take(rt_codec_in *in, size_t n, const unsigned char **out)
{
  RT_CHECK(n <= in->n - in->at, RT_ERR_DATA,
           "%s: ends after %zu bytes, %zu more expected", in->name, in->n,
           n - (in->n - in->at));
  *out = in->data + in->at;
  in->at += n;
  return RT_OK;
}

rt_err rt_codec_take_u32(rt_codec_in *in, uint32_t *out)
{
  const unsigned char *from;
  RT_TRY(rt_codec_take(in, sizeof *out, &from));
  memcpy(out, from, sizeof *out);
  return RT_OK;
}

rt_err rt_codec_take_u64(rt_codec_in *in, uint64_t *out)
{
  const unsigned char *from;
  RT_TRY(rt_codec_take(in, sizeof *out, &from));
  memcpy(out, from, sizeof *out);
  return RT_OK;
}

rt_err rt_codec_put(rt_bytes *out, const void *data, size_t n)
{
  RT_TRY(rt_bytes_room(out, n));
  if (n > 0)
    memcpy(out->data + out->n, data, n);
  out->n += n;
  return RT_OK;
}

rt_err rt_codec_put_u32(rt_bytes *out, uint32_t x)
{
  return rt_codec_put(out, &x, sizeof x);
}

rt_err rt_codec_put_u64(rt_bytes *out, uint64_t x)
{
  return rt_codec_put(out, &x, sizeof x);
}

rt_err rt_codec_take_origin(const rt_codec_spec *spec, rt_codec_in *in,
                            rt_logits_row *row)
{
  uint64_t step = 0, stream_row = 0;
  if (spec->step) {
    RT_TRY(rt_codec_take_u64(in, &step));
    RT_TRY(rt_codec_take_u64(in, &stream_row));
  }
  RT_CHECK(step <= INT64_MAX && stream_row <= (uint64_t)1 << 40, RT_ERR_DATA,
           "%s: step %llu of row %llu of the stream, expected at most 2^63 and "
           "2^40",
           in->name, (unsigned long long)step, (unsigned long long)stream_row);
  row->step = (int64_t)step;
  row->stream_row = (int64_t)stream_row;
  return RT_OK;
}

rt_err rt_codec_put_origin(const rt_codec_spec *spec, const rt_logits_row *row,
                           rt_bytes *out)
{
  if (!spec->step)
    return RT_OK;
  RT_TRY(rt_codec_put_u64(out, (uint64_t)row->step));
  return rt_codec_put_u64(out, (uint64_t)row->stream_row);
}

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

/** Drop what could not be made. */
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
  return outcome(rt_packed_learn(*out, rows, n_rows), out);
}

rt_err rt_codec_load(const rt_codec_spec *spec, const void *tables, size_t n,
                     const char *name, rt_codec **out)
{
  rt_codec_in in = {.data = tables, .n = n, .name = name};
  RT_TRY(create(spec, name, out));
  if (spec->kind != RT_CODEC_EXACT)
    return outcome(rt_packed_load(*out, &in), out);
  return n == 0 ? RT_OK
                : outcome(RT_FAIL(RT_ERR_DATA,
                                  "%s: %zu bytes of tables, expected none",
                                  name, n),
                          out);
}

rt_err rt_codec_store(const rt_codec *codec, rt_bytes *out)
{
  return codec->packed != NULL ? rt_packed_store(codec, out) : RT_OK;
}

size_t rt_codec_bytes(const rt_codec_spec *spec, const void *tables, size_t n)
{
  return sizeof(rt_codec) +
         (spec->kind != RT_CODEC_EXACT ? rt_packed_bytes(spec, tables, n) : 0);
}

const rt_codec_spec *rt_codec_about(const rt_codec *codec)
{
  return &codec->spec;
}

void rt_codec_destroy(rt_codec **codec)
{
  if (*codec != NULL)
    rt_packed_destroy((*codec)->packed);
  free(*codec);
  *codec = NULL;
}

rt_err rt_codec_encode(const rt_codec *codec, const rt_logits_row *row,
                       rt_bytes *out)
{
  RT_TRY(rt_codec_check_row(&codec->spec, "row to encode", row));
  return codec->packed != NULL ? rt_codec_encode_packed(codec, row, out)
                               : rt_codec_encode_exact(&codec->spec, row, out);
}

rt_err rt_codec_decode(const rt_codec *codec, const void *record, size_t n,
                       const char *name, rt_logits_row *out)
{
  rt_codec_in in = {.data = record, .n = n, .name = name};
  out->stored = true;
  return codec->packed != NULL ? rt_codec_decode_packed(codec, &in, out)
                               : rt_codec_decode_exact(&codec->spec, &in, out);
}

float rt_codec_bound(const rt_codec *codec, float logp)
{
  return codec->spec.kind == RT_CODEC_PACKED ? rt_packed_bound(logp) : 0.0F;
}
