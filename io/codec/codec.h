/** \file codec.h
 *  Encodes rows of teacher logits as records of bytes, and decodes them.
 *  Layer: io.  Memory to memory: no files, no MPI, no globals; a codec is
 *  immutable and thread-safe once created.  Format: doc/formats.md, "Row
 *  records".
 *
 *  A writer builds a shard's tables from a sample of its rows, stores the
 *  tables, and encodes every row with them.  The tables affect only the size of
 *  the records: decoded values do not depend on them, and thus not on the
 *  distribution of rows over shards. */
#ifndef RT_CODEC_H
#define RT_CODEC_H

#include "io/codec/codec_check.h"

/** Tables of one shard.  Opaque, heap, immutable. */
typedef struct rt_codec rt_codec;

/** Build tables from \a rows [n_rows], a sample of the rows to encode (the
 *  tables work for any other row, too, with longer records).  Borrowed during
 *  the call. */
RT_MUST rt_err rt_codec_learn(const rt_codec_spec *spec,
                              const rt_logits_row *rows, int64_t n_rows,
                              rt_codec **out);
/** Tables from the bytes of rt_codec_store().  Input is untrusted: anything
 *  invalid is RT_ERR_DATA, prefixed with \a name. */
RT_MUST rt_err rt_codec_load(const rt_codec_spec *spec, const void *tables,
                             size_t n, const char *name, rt_codec **out);
/** Append the tables to \a out; nothing for `exact`. */
RT_MUST rt_err rt_codec_store(const rt_codec *codec, rt_bytes *out);
/** Memory in bytes that a codec with these tables takes. */
size_t rt_codec_bytes(const rt_codec_spec *spec, const void *tables, size_t n);
void rt_codec_destroy(rt_codec **codec);

/** Append the record of \a row to \a out.  RT_ERR_DATA for a row that cannot be
 *  encoded (more tokens or entries or larger ids than the spec allows, entries
 *  out of order, non-finite values, or not draws). */
RT_MUST rt_err rt_codec_encode(const rt_codec *codec, const rt_logits_row *row,
                               rt_bytes *out);
/** Decode a record into \a out, whose arrays grow as needed (start with {0},
 *  end with rt_logits_row_clear()).  Input is untrusted: for any bytes, the
 *  result satisfies every invariant of rt_logits_row, or RT_ERR_DATA, prefixed
 *  with \a name. */
RT_MUST rt_err rt_codec_decode(const rt_codec *codec, const void *record,
                               size_t n, const char *name, rt_logits_row *out);

/** A record and the row that it becomes. */
typedef struct rt_codec_record {
  const rt_codec *codec; // borrowed
  const void *data;      // borrowed [n]
  size_t n;
  const char *name;   // borrowed
  rt_logits_row *row; // borrowed
} rt_codec_record;
enum { RT_CODEC_AT_ONCE = 16 };
/** How many records of an encoding are best decoded together: some times faster
 *  where the processor decodes them side by side; otherwise 1. */
int rt_codec_at_once(rt_codec_kind kind);
/** The same as rt_codec_decode() of \a n <= RT_CODEC_AT_ONCE records, whose
 *  codecs have one spec.  An error is that of any of them. */
RT_MUST rt_err rt_codec_decode_all(const rt_codec_record *records, int n);

#endif
