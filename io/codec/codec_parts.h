/** \file codec_parts.h
 *  What the files of the codec share.  Layer: io, for io/codec*.c only. */
#ifndef RT_CODEC_PARTS_H
#define RT_CODEC_PARTS_H

#include "io/codec/codec.h"

struct rt_codec {
  rt_codec_spec spec;
  struct rt_packed *packed; // owned; NULL for `exact`
};

/** A token's mass is a sum of rounded numbers: it may exceed 1 by 1 % (teachers
 *  reach 1.0001).  What was stored once may have been `packed`: a level lies up
 *  to 1/8 above its log-prob, and 1.01 e^(1/8) = 1.1445. */
static const double rt_codec_max_mass = 1.01, rt_codec_max_stored = 1.145;

/** A record as it is read: nothing beyond \a n bytes is touched. */
typedef struct rt_codec_in {
  const unsigned char *data; // borrowed [n]
  size_t n, at;
  const char *name; // borrowed: for messages
} rt_codec_in;
/** The next \a n bytes; RT_ERR_DATA when there are fewer. */
RT_MUST rt_err rt_codec_take(rt_codec_in *in, size_t n,
                             const unsigned char **out);
/** Little-endian numbers. */
RT_MUST rt_err rt_codec_take_u32(rt_codec_in *in, uint32_t *out);
RT_MUST rt_err rt_codec_take_u64(rt_codec_in *in, uint64_t *out);
RT_MUST rt_err rt_codec_put(rt_bytes *out, const void *data, size_t n);
RT_MUST rt_err rt_codec_put_u32(rt_bytes *out, uint32_t x);
RT_MUST rt_err rt_codec_put_u64(rt_bytes *out, uint64_t x);
/** Step and stream row, where the spec has them; else both are 0. */
RT_MUST rt_err rt_codec_take_origin(const rt_codec_spec *spec, rt_codec_in *in,
                                    rt_logits_row *row);
RT_MUST rt_err rt_codec_put_origin(const rt_codec_spec *spec,
                                   const rt_logits_row *row, rt_bytes *out);

/** The record of `exact`. */
RT_MUST rt_err rt_codec_encode_exact(const rt_codec_spec *spec,
                                     const rt_logits_row *row, rt_bytes *out);
RT_MUST rt_err rt_codec_decode_exact(const rt_codec_spec *spec, rt_codec_in *in,
                                     rt_logits_row *out);

/** Records of `packed` and `sampled`, their tables. */
RT_MUST rt_err rt_packed_learn(rt_codec *codec, const rt_logits_row *rows,
                               int64_t n_rows);
RT_MUST rt_err rt_packed_load(rt_codec *codec, rt_codec_in *in);
RT_MUST rt_err rt_packed_store(const rt_codec *codec, rt_bytes *out);
/** Bytes of memory for these tables; nearly those of the fixed parts for tables
 *  that no rt_packed_load() takes. */
size_t rt_packed_bytes(const rt_codec_spec *spec, const unsigned char *tables,
                       size_t n);
void rt_packed_destroy(struct rt_packed *packed);
RT_MUST rt_err rt_codec_encode_packed(const rt_codec *codec,
                                      const rt_logits_row *row, rt_bytes *out);
RT_MUST rt_err rt_codec_decode_packed(const rt_codec *codec, rt_codec_in *in,
                                      rt_logits_row *out);
float rt_packed_bound(float logp);

#endif
