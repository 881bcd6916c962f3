/** \file logits_cache.h
 *  Decoders of a dataset's shards: a few at once, the least recently used one
 *  makes room.  Layer: io, for io/logits_*.c only.  No MPI; thread-safe but for
 *  create and destroy.
 *
 *  A decoder takes about a megabyte and a millisecond to make (V = 49152), a
 *  row of 2048 tokens two milliseconds to decode: reading rows of more shards
 *  than there are places, in any order, costs half as much again. */
#ifndef RT_LOGITS_CACHE_H
#define RT_LOGITS_CACHE_H

#include "io/codec/codec.h"

enum { RT_LOGITS_DECODERS = 32 }; /**< kept at once */

typedef struct rt_logits_cache rt_logits_cache;

RT_MUST rt_err rt_logits_cache_create(rt_logits_cache **out);
void rt_logits_cache_destroy(rt_logits_cache **cache);

/** What decodes a shard: bytes of its tables. */
typedef struct rt_logits_tables {
  int64_t i_shard;
  const rt_codec_spec *spec; // borrowed
  const void *data;          // borrowed [n]
  size_t n;
  const char *path; // borrowed: for messages
} rt_logits_tables;

/** A decoder, borrowed until it is given back. */
typedef struct rt_logits_loan {
  rt_codec *codec;
  int i_place; // -1: of this loan alone
} rt_logits_loan;
RT_MUST rt_err rt_logits_cache_get(rt_logits_cache *cache,
                                   const rt_logits_tables *tables,
                                   rt_logits_loan *out);
void rt_logits_cache_put(rt_logits_cache *cache, rt_logits_loan *loan);

/** For tests: decoders that were made so far, and those that are kept. */
int64_t rt_logits_cache_n_made(rt_logits_cache *cache);
int rt_logits_cache_n_kept(rt_logits_cache *cache);

#endif
