/** \file codec_exact.c
 *  The reference encoding: every array unchanged, in 4-byte little-endian
 *  words. */
#include "io/codec/codec_exact.h"

#include "io/codec/codec_check.h"

#include <stdlib.h>
#include <string.h>

static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__,
              "records are copied as they are in memory");

enum { MAX_PARTS = 8 };

/** List the arrays of a row in the order of the record. */
static int list_parts(const rt_codec_spec *spec, const rt_logits_row *row,
                      void *part[MAX_PARTS], size_t elements[MAX_PARTS])
{
  const size_t T = (size_t)row->n_tokens, n = (size_t)row->n_entries;
  const struct {
    bool kept;
    void *array;
    size_t n;
  } all[MAX_PARTS] = {{true, row->tok, T + 1},
                      {true, row->count, T},
                      {true, row->lse, T},
                      {true, row->label_logp, T},
                      {spec->entropy, row->entropy, T},
                      {spec->deviation, row->deviation, T},
                      {true, row->ids, n},
                      {true, row->logp, n}};
  int n_parts = 0;
  for (int i = 0; i < MAX_PARTS; i++)
    if (all[i].kept) {
      part[n_parts] = all[i].array;
      elements[n_parts++] = all[i].n;
    }
  return n_parts;
}

rt_err rt_codec_encode_exact(const rt_codec_spec *spec,
                             const rt_logits_row *row, rt_bytes *out)
{
  void *part[MAX_PARTS];
  size_t elements[MAX_PARTS];
  RT_TRY(rt_bytes_put_u32(out, (uint32_t)row->n_tokens));
  RT_TRY(rt_bytes_put_u32(out, (uint32_t)row->n_entries));
  RT_TRY(rt_codec_put_origin(spec, row, out));
  const int n_parts = list_parts(spec, row, part, elements);
  for (int i = 0; i < n_parts; i++)
    RT_TRY(rt_bytes_put(out, part[i], 4 * elements[i]));
  return RT_OK;
}

/** Check the sizes against the length of the record, before anything is
 *  allocated. */
static rt_err check_sizes(const rt_codec_spec *spec, const rt_bytes_in *in,
                          const rt_logits_row *row)
{
  void *part[MAX_PARTS];
  size_t elements[MAX_PARTS], bytes = 0;
  RT_CHECK(row->n_tokens <= spec->max_tokens, RT_ERR_DATA,
           "%s: %lld tokens, expected at most %lld", in->name,
           (long long)row->n_tokens, (long long)spec->max_tokens);
  const int n_parts = list_parts(spec, row, part, elements);
  for (int i = 0; i < n_parts; i++)
    bytes += 4 * elements[i];
  RT_CHECK(bytes == in->n - in->at, RT_ERR_DATA,
           "%s: %lld tokens with %lld entries take %zu bytes, got %zu",
           in->name, (long long)row->n_tokens, (long long)row->n_entries, bytes,
           in->n - in->at);
  return RT_OK;
}

rt_err rt_codec_decode_exact(const rt_codec_spec *spec, rt_bytes_in *in,
                             rt_logits_row *out)
{
  uint32_t n_tokens, n_entries;
  void *part[MAX_PARTS];
  size_t elements[MAX_PARTS];
  RT_TRY(rt_bytes_take_u32(in, &n_tokens));
  RT_TRY(rt_bytes_take_u32(in, &n_entries));
  RT_TRY(rt_codec_take_origin(spec, in, out));
  out->n_tokens = n_tokens;
  out->n_entries = n_entries;
  RT_TRY(check_sizes(spec, in, out));
  RT_TRY(rt_logits_row_tokens(out, n_tokens));
  RT_TRY(rt_logits_row_optional(
      out, (rt_logits_optional){.entropy = spec->entropy,
                                .deviation = spec->deviation}));
  RT_TRY(rt_logits_row_entries(out, n_entries));
  const int n_parts = list_parts(spec, out, part, elements);
  for (int i = 0; i < n_parts; i++) {
    const unsigned char *from;
    RT_TRY(rt_bytes_take(in, 4 * elements[i], &from));
    memcpy(part[i], from, 4 * elements[i]);
  }
  return rt_codec_check_row(spec, in->name, out);
}
