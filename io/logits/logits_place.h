/** \file logits_place.h
 *  An open dataset: what io/logits/logits_open.c finds out and
 * io/logits/logits_read.c reads by.  Layer: io, for them and the card only. */
#ifndef RT_LOGITS_PLACE_H
#define RT_LOGITS_PLACE_H

#include "io/logits/logits_cache.h"
#include "io/logits/logits_manifest.h"
#include <stdatomic.h>

/** A shard as rows are found in it. */
typedef struct rt_logits_place {
  char *path;                 // owned: to print it for every row takes long
  const uint64_t *record_ptr; // borrowed [n_rows + 1]; NULL: not sealed yet
  const uint64_t *row_xxh3;   // borrowed [n_rows]
  uint64_t chunk, n_chunks;   // bytes of a chunk of the records
  const uint64_t *offset;     // borrowed [n_chunks] of the file
  const void *tables;         // borrowed [n_table_bytes]
  uint64_t n_table_bytes;
} rt_logits_place;

struct rt_logits {
  char folder[RT_PATH_MAX];
  rt_logits_manifest manifest; // owned
  rt_codec_spec spec;
  uint64_t proof;  // what closes the manifest
  uint64_t *words; // owned [n_words]: all shards' tables
  int64_t n_words;
  rt_logits_place *places; // owned [n_shards]
  int64_t n_left_out;      // shards
  rt_logits_totals totals;
  rt_logits_cache *decoders; // owned
  atomic_int *fd;            // owned [n_shards] descriptor + 1; 0: not open
  atomic_int *n_open;        // owned: how many are
};

/** README.md against the manifest's SHA-256. */
RT_MUST rt_err rt_logits_verify_card(const rt_logits *ds);

#endif
