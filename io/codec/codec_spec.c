/** \file codec_spec.c */
#include "io/codec/codec_spec.h"

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
                 "\"%s\" is not an encoding: expected exact, packed or sampled",
                 text);
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

rt_err rt_codec_take_origin(const rt_codec_spec *spec, rt_bytes_in *in,
                            rt_logits_row *row)
{
  uint64_t step = 0, stream_row = 0;
  if (spec->step) {
    RT_TRY(rt_bytes_take_u64(in, &step));
    RT_TRY(rt_bytes_take_u64(in, &stream_row));
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
  RT_TRY(rt_bytes_put_u64(out, (uint64_t)row->step));
  return rt_bytes_put_u64(out, (uint64_t)row->stream_row);
}
