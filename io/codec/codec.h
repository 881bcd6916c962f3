/** \file codec.h
 *  Rows of teacher logits as records of bytes and back: the encodings of a
 *  logit dataset.  Layer: io.  Memory to memory: no files, no MPI, no globals;
 *  thread-safe once made.  Format: doc/formats.md, "Row records".
 *
 *  A writer learns a shard's tables from some of its rows, stores the tables,
 *  then encodes every row with them.  Tables decide only how many bytes a row
 *  takes: what is decoded does not depend on them, so neither on how rows were
 *  spread over shards. */
#ifndef RT_CODEC_H
#define RT_CODEC_H

#include "base/err.h"
#include "io/codec/logits_row.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/** X(name, text): what becomes of an entry (id, log-prob). */
#define RT_CODEC_KINDS(X)                                                      \
  X(EXACT, "exact")     /* u32 id, f32 log-prob: the reference */              \
  X(PACKED, "packed")   /* exact ids, quantised log-probs, entropy-coded */    \
  X(SAMPLED, "sampled") /* ids and how often N draws gave each */

#define RT_CODEC_KIND_ENUM(name, text) RT_CODEC_##name,
typedef enum rt_codec_kind {
  RT_CODEC_KINDS(RT_CODEC_KIND_ENUM) RT_CODEC_N_KINDS
} rt_codec_kind;
#undef RT_CODEC_KIND_ENUM

/** "exact", "packed", "sampled"; and back: RT_ERR_CONFIG for other words. */
const char *rt_codec_kind_name(rt_codec_kind kind);
RT_MUST rt_err rt_codec_kind_parse(const char *text, rt_codec_kind *out);

/** What a reader must know before the tables; a shard keeps it beside them. */
typedef struct rt_codec_spec {
  rt_codec_kind kind;
  uint64_t vocab;          /**< true V, 1 to 2^32 */
  int64_t max_tokens;      /**< most tokens of a row, 1 to 2^24 */
  int64_t max_entries;     /**< most entries of a token, 1 to V and to 2^20 */
  int64_t n_draws;         /**< N of `sampled`, 1 to 2048; else 0 */
  bool entropy, deviation; /**< optional fields of rt_logits_row kept */
  bool step;               /**< and these two: step, stream_row */
} rt_codec_spec;
/** RT_ERR_DATA, prefixed with \a name, unless all members are in range. */
RT_MUST rt_err rt_codec_spec_check(const rt_codec_spec *spec, const char *name);

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

/** Tables of one shard.  Opaque, heap, constant once made. */
typedef struct rt_codec rt_codec;

/** Learn tables from \a rows [n_rows], a sample of what will be encoded (they
 *  serve any other row too, only with more bytes); borrowed during the call. */
RT_MUST rt_err rt_codec_learn(const rt_codec_spec *spec,
                              const rt_logits_row *rows, int64_t n_rows,
                              rt_codec **out);
/** Tables from the bytes of rt_codec_store().  Nothing is believed: RT_ERR_DATA
 *  prefixed with \a name for whatever they would not be. */
RT_MUST rt_err rt_codec_load(const rt_codec_spec *spec, const void *tables,
                             size_t n, const char *name, rt_codec **out);
/** Append the tables to \a out; no bytes for `exact`. */
RT_MUST rt_err rt_codec_store(const rt_codec *codec, rt_bytes *out);
/** Bytes of memory that a codec from these tables takes. */
size_t rt_codec_bytes(const rt_codec_spec *spec, const void *tables, size_t n);
const rt_codec_spec *rt_codec_about(const rt_codec *codec);
void rt_codec_destroy(rt_codec **codec);

/** Append the record of \a row to \a out.  RT_ERR_DATA for a row that no record
 *  can hold (more tokens, entries or larger ids than the spec allows, entries
 *  out of order, not finite, not draws). */
RT_MUST rt_err rt_codec_encode(const rt_codec *codec, const rt_logits_row *row,
                               rt_bytes *out);
/** A record into \a out, whose arrays grow as needed (start with {0}, end with
 *  rt_logits_row_clear()).  Nothing is believed: whatever the bytes are, the
 *  result keeps every invariant of rt_logits_row or RT_ERR_DATA prefixed with
 *  \a name. */
RT_MUST rt_err rt_codec_decode(const rt_codec *codec, const void *record,
                               size_t n, const char *name, rt_logits_row *out);

/** RT_ERR_DATA naming the first token of \a row that breaks a rule of
 *  rt_logits_row or of \a spec, prefixed with \a name. */
RT_MUST rt_err rt_codec_check_row(const rt_codec_spec *spec, const char *name,
                                  const rt_logits_row *row);

/** Largest |decoded - given| of a `packed` log-prob near \a logp: half the step
 *  of the quantiser there; 0 for the other kinds. */
float rt_codec_bound(const rt_codec *codec, float logp);

#endif
