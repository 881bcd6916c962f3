/** \file codec_spec.h
 *  The parameters that a reader of records must know before it can use a
 *  shard's tables, and the part of a record common to all encodings.  Layer:
 *  io. */
#ifndef RT_CODEC_SPEC_H
#define RT_CODEC_SPEC_H

#include "io/codec/logits_row.h"
#include "io/common/bytes.h"

#include <stdbool.h>

/** X(name, text): how an entry (id, log-prob) is stored. */
#define RT_CODEC_KINDS(X)                                                      \
  X(EXACT, "exact")     /* u32 id, f32 log-prob: the reference */              \
  X(PACKED, "packed")   /* exact ids, quantised log-probs, entropy-coded */    \
  X(SAMPLED, "sampled") /* ids and their number among N draws */

#define RT_CODEC_KIND_ENUM(name, text) RT_CODEC_##name,
typedef enum rt_codec_kind {
  RT_CODEC_KINDS(RT_CODEC_KIND_ENUM) RT_CODEC_N_KINDS
} rt_codec_kind;
#undef RT_CODEC_KIND_ENUM

/** Name of a kind, and the reverse: RT_ERR_CONFIG for an unknown word. */
const char *rt_codec_kind_name(rt_codec_kind kind);
RT_MUST rt_err rt_codec_kind_parse(const char *text, rt_codec_kind *out);

/** Parameters of an encoding, stored with every shard. */
typedef struct rt_codec_spec {
  rt_codec_kind kind;
  uint64_t vocab;      /**< true V, 1 to 2^32 */
  int64_t max_tokens;  /**< maximum tokens per row, 1 to 2^24 */
  int64_t max_entries; /**< maximum entries per token, 1 to min(V, 2^20) */
  int64_t n_draws;     /**< N of `sampled`, 1 to 2048; otherwise 0 */
  bool entropy,
      deviation; /**< records have these optional fields of rt_logits_row */
  bool step;     /**< records have the fields step and stream_row */
} rt_codec_spec;
/** RT_ERR_DATA, prefixed with \a name, unless all members are in range. */
RT_MUST rt_err rt_codec_spec_check(const rt_codec_spec *spec, const char *name);

/** Read step and stream row if the spec has them; otherwise both are 0. */
RT_MUST rt_err rt_codec_take_origin(const rt_codec_spec *spec, rt_bytes_in *in,
                                    rt_logits_row *row);
RT_MUST rt_err rt_codec_put_origin(const rt_codec_spec *spec,
                                   const rt_logits_row *row, rt_bytes *out);

#endif
