/** \file packed_reader.h
 *  Decodes a record of `packed` or `sampled` token by token, so that several
 *  records can be decoded side by side.  Layer: io, for io/codec only. */
#ifndef RT_PACKED_READER_H
#define RT_PACKED_READER_H

#include "io/codec/packed_sort.h"

/** The entries of a token: keys (level, or N - draws) << 32 | id. */
typedef struct rt_packed_set {
  size_t n, taken;
  uint64_t next; // the least rank that the next entry can have
  uint64_t max,
      span; // upper halves of the keys are max - v, with v at most span
  int context_of_range;
} rt_packed_set;

/** A reader of one record. */
typedef struct rt_packed_reader {
  const rt_packed *k; // borrowed
  const char *name;   // borrowed
  rt_rans_in in;
  rt_logits_row *row; // borrowed
  int64_t n_entries;  // of the whole row, as the record says
  int64_t t, begin;   // the token that is read, and its first entry
  rt_packed_set set;  // its entries
  uint64_t *key;      // owned [room], at least twice those of the set
  size_t room;
} rt_packed_reader;

/** Begin to read; rt_packed_reader_clear() even after an error. */
RT_MUST rt_err rt_packed_reader_open(const rt_packed *k, rt_bytes_in *in,
                                     rt_logits_row *row, rt_packed_reader *out);
/** Read token t up to its entries. */
RT_MUST rt_err rt_packed_reader_begin(rt_packed_reader *r);
/** Read its next \a n entries. */
RT_MUST rt_err rt_packed_reader_take(rt_packed_reader *r, size_t n);
/** After its entries: read the rest of it, and let \a sorter put them. */
RT_MUST rt_err rt_packed_reader_end(rt_packed_reader *r,
                                    rt_packed_sorter *sorter);
/** After the last token. */
RT_MUST rt_err rt_packed_reader_close(rt_packed_reader *r);
void rt_packed_reader_clear(rt_packed_reader *r);

#endif
