/** \file logits_place.h
 *  The internal state of an open dataset, set up by io/logits/logits_open.c and
 *  used by io/logits/logits_read.c.  Layer: io, for these and the card only. */
#ifndef RT_LOGITS_PLACE_H
#define RT_LOGITS_PLACE_H

#include "io/logits/logits_cache.h"
#include "io/logits/logits_manifest.h"
#include <stdatomic.h>

/** The location of a shard's rows. */
typedef struct rt_logits_place {
  char *path; // owned; formatting it for every row would be slow
  const uint64_t *record_ptr; // borrowed [n_rows + 1]; NULL: not sealed yet
  const uint64_t *row_xxh3;   // borrowed [n_rows]
  uint64_t chunk, n_chunks; // bytes per chunk of the records; number of chunks
  const uint64_t *offset;   // borrowed [n_chunks]: offsets in the file
  const void *tables;       // borrowed [n_table_bytes]
  uint64_t n_table_bytes;
} rt_logits_place;

struct rt_logits {
  char folder[RT_PATH_MAX];
  rt_logits_manifest manifest; // owned
  rt_codec_spec spec;
  uint64_t proof;  // the hash at the end of the manifest
  uint64_t *words; // owned [n_words]: the indices of all shards
  int64_t n_words;
  rt_logits_place *places; // owned [n_shards]
  int64_t n_left_out;      // shards
  rt_logits_totals totals;
  rt_logits_cache *decoders; // owned
  atomic_int *fd;            // owned [n_shards]: descriptor + 1; 0: not open
  atomic_int *n_open;        // owned: number of open descriptors
};

/** Check README.md against the SHA-256 in the manifest. */
RT_MUST rt_err rt_logits_verify_card(const rt_logits *ds);

#endif
