/** \file logits_cache.h
 *  LRU cache of the decoders of a dataset's shards.  Layer: io, for
 *  io/logits_*.c only.  No MPI; thread-safe except create and destroy.
 *
 *  At V = 49152, a decoder takes 1.1 MB plus 16 bytes for each id that its
 *  tables list, so at most 1.9 MB, and a millisecond to create; decoding a row
 *  of 2048 tokens takes two.  Reading rows in random order from
 *  more shards than the cache holds thus costs half as much again. */
#ifndef RT_LOGITS_CACHE_H
#define RT_LOGITS_CACHE_H

#include "io/codec/codec.h"

enum { RT_LOGITS_DECODERS = 32 }; /**< capacity of the cache */

typedef struct rt_logits_cache rt_logits_cache;

RT_MUST rt_err rt_logits_cache_create(rt_logits_cache **out);
void rt_logits_cache_destroy(rt_logits_cache **cache);

/** The serialised tables of a shard. */
typedef struct rt_logits_tables {
  int64_t i_shard;
  const rt_codec_spec *spec; // borrowed
  const void *data;          // borrowed [n]
  size_t n;
  const char *path; // borrowed: for messages
} rt_logits_tables;

/** A decoder, borrowed until it is returned. */
typedef struct rt_logits_loan {
  rt_codec *codec;
  int i_place; // -1: not cached, owned by this loan
} rt_logits_loan;
RT_MUST rt_err rt_logits_cache_get(rt_logits_cache *cache,
                                   const rt_logits_tables *tables,
                                   rt_logits_loan *out);
void rt_logits_cache_put(rt_logits_cache *cache, rt_logits_loan *loan);

/** For tests: number of decoders created so far, and of those cached. */
int64_t rt_logits_cache_n_made(rt_logits_cache *cache);
int rt_logits_cache_n_kept(rt_logits_cache *cache);

#endif
