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

#include "io/codec/codec_check.h"

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

/** Largest |decoded - given| of a `packed` log-prob near \a logp: half the step
 *  of the quantiser there; 0 for the other kinds. */
float rt_codec_bound(const rt_codec *codec, float logp);

#endif
