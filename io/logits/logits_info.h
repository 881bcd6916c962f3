/** \file logits_info.h
 *  The metadata of a logit dataset, stored in manifest and shards alike.
 *  Layer: io.  Not collective. */
#ifndef RT_LOGITS_INFO_H
#define RT_LOGITS_INFO_H

#include "base/hash.h"
#include "io/codec/codec.h"
#include "io/common/h5_reader.h"
#include "io/common/json.h"

#include <stdio.h>

#define RT_LOGITS_FORMAT "retort-logits"
#define RT_LOGITS_VERSION 4
/** Versions that are read; an older one is also written when a capture or
 *  selection of it is resumed. */
#define RT_LOGITS_OLDEST 3
/** From here on corpus_hash and teacher_hash are made of digests of files, and
 *  there may be a bos. */
#define RT_LOGITS_DIGESTS 4

/** Metadata of a dataset; texts are "" if unknown. */
typedef struct rt_logits_info {
  int64_t version;      /**< of the format */
  int64_t seq;          /**< T: maximum tokens per row */
  int64_t vocab;        /**< V, true */
  int64_t vocab_padded; /**< rows of the teacher's output head; 0: unknown */
  int64_t first_row;    /**< first row in the training stream */
  int64_t n_rows;       /**< rows captured */
  int64_t shard_rows;
  char encoding[16]; /**< rt_codec_kind_name() */
  double top_p;  /**< if truncated: probability mass kept; for `sampled` 1 */
  int64_t top_k; /**< if truncated: maximum number of entries */
  int64_t draws; /**< `sampled`: N, else 0 */
  uint64_t draw_seed;      /**< `sampled` */
  double temperature;      /**< temperature of the softmax that was truncated or
                              drawn from */
  bool entropy, deviation; /**< optional fields of the rows */
  bool step;     /**< teacher captured during its training: rows have step and
                    stream_row */
  int64_t lanes; /**< number of concurrent writers; 0: rows are in order of the
                    stream */
  char teacher_hash[RT_SHA256_HEX], tokenizer_hash[RT_SHA256_HEX],
      corpus_hash[RT_SHA256_HEX];
  char teacher[256], license[256], creator[128], created[32];
  char source[32]; /**< for `select`: seal of the source's manifest */
  int64_t eot;
  int64_t bos;     /**< -1: none */
  char bos_at[16]; /**< rt_bos_at_name() of io/corpus/corpus.h */
  double valid_fraction;
  uint64_t split_seed;
  bool mask_documents;
} rt_logits_info;

/** The encoding's parameters; RT_ERR_DATA, prefixed with \a name, if they are
 *  invalid. */
RT_MUST rt_err rt_logits_spec(const char *name, const rt_logits_info *info,
                              rt_codec_spec *out);
/** RT_ERR_DATA, prefixed with \a name, unless sizes are positive and plausible,
 *  there are not too many shards, and the encoding is known. */
RT_MUST rt_err rt_logits_info_check(const char *name,
                                    const rt_logits_info *info);
/** Print lines "| key | value |". */
void rt_logits_info_print(const rt_logits_info *info, FILE *to);
int64_t rt_logits_n_shards(const rt_logits_info *info);
/** Number of rows of shard \a i_shard. */
int64_t rt_logits_shard_rows(const rt_logits_info *info, int64_t i_shard);

/** List the members that differ (except those on when and by what it was made)
 *  in \a text [n]: "top_k is 50, not 40; ..."; "" if none. */
void rt_logits_info_diff(const rt_logits_info *is, const rt_logits_info *want,
                         char *text, size_t n);
/** Write one attribute per member. */
RT_MUST rt_err rt_logits_info_put(rt_h5 *h5, const rt_logits_info *info);
/** RT_ERR_DATA unless the file says that it is shard \a i_shard of the dataset
 *  \a want: every member that may not differ is compared. */
RT_MUST rt_err rt_logits_header_check(const rt_h5_reader *h5, const char *path,
                                      const rt_logits_info *want,
                                      int64_t i_shard);
/** Print lines "KEY": VALUE,. */
void rt_logits_info_json(const rt_logits_info *info, FILE *to);
RT_MUST rt_err rt_logits_info_parse(const char *name, const rt_json *object,
                                    rt_logits_info *out);

#endif
