/** \file logits_manifest.h
 *  Code shared by writer and reader of logit datasets.  Layer: io, for
 *  io/logits only.  Not collective. */
#ifndef RT_LOGITS_MANIFEST_H
#define RT_LOGITS_MANIFEST_H

#include "base/file.h"
#include "io/common/json.h"
#include "io/logits/logits.h"
#include <stdio.h>

/** Limit of manifest.json in bytes: the largest number of shards fits. */
enum { RT_LOGITS_MANIFEST_MAX = 1 << 28 };

/** A shard as listed in the manifest. */
typedef struct rt_logits_shard {
  int64_t bytes;              /**< 0: not sealed yet */
  uint64_t seal;              /**< the hash at the end of its seal */
  char sha256[RT_SHA256_HEX]; /**< SHA-256 of the file */
} rt_logits_shard;

typedef struct rt_logits_manifest {
  rt_logits_info info;
  bool complete;
  char *deck;                        // owned
  rt_logits_shard *shards;           // owned [n_shards]
  int64_t n_shards;                  // planned number of shards
  char readme_sha256[RT_SHA256_HEX]; // SHA-256 of README.md; "" unless complete
} rt_logits_manifest;

void rt_logits_manifest_clear(rt_logits_manifest *m);
/** FOLDER/manifest.json */
RT_MUST rt_err rt_logits_manifest_path(char out[RT_PATH_MAX],
                                       const char *folder);
RT_MUST rt_err rt_logits_manifest_parse(const char *name, const char *text,
                                        size_t n, rt_logits_manifest *out);
RT_MUST rt_err rt_logits_manifest_read(const char *folder,
                                       rt_logits_manifest *out);
RT_MUST rt_err rt_logits_manifest_write(const char *folder,
                                        const rt_logits_manifest *m);
/** Write FOLDER/README.md, and store its hash in the manifest. */
RT_MUST rt_err rt_logits_card_write(const char *folder, rt_logits_manifest *m);

/** Name of a shard's file, and its full path. */
void rt_logits_shard_name(char name[32], int64_t i_shard);
RT_MUST rt_err rt_logits_shard_path(char out[RT_PATH_MAX], const char *folder,
                                    int64_t i_shard);

#endif
