/** \file logits_manifest.h
 *  What the writer and the reader of logit datasets share.  Layer: io, for
 *  io/logits_*.c only.  Not collective. */
#ifndef RT_LOGITS_MANIFEST_H
#define RT_LOGITS_MANIFEST_H

#include "base/dtype.h"
#include "base/file.h"
#include "io/h5.h"
#include "io/logits.h"
#include <stdio.h>

/** The per-row fields of a shard, in the order of the row hash: each is one
 *  dataset of 4-byte elements.  X(member of rt_logits_row, type, elements of a
 *  row of T tokens and n entries) */
#define RT_LOGITS_FIELDS(X)                                                    \
  X(tok, RT_U32, T + 1)                                                        \
  X(count, RT_U32, T)                                                          \
  X(lse, RT_F32, T)                                                            \
  X(label_logp, RT_F32, T)                                                     \
  X(ids, RT_U32, n)                                                            \
  X(logp, RT_F32, n)

#define RT_LOGITS_FIELD_ENUM(name, type, n) RT_LOGITS_##name,
typedef enum rt_logits_field {
  RT_LOGITS_FIELDS(RT_LOGITS_FIELD_ENUM) RT_LOGITS_N_FIELDS
} rt_logits_field;
#undef RT_LOGITS_FIELD_ENUM

typedef struct rt_logits_field_about {
  const char *name;
  rt_dtype dtype;
} rt_logits_field_about;
extern const rt_logits_field_about rt_logits_fields[RT_LOGITS_N_FIELDS];

/** Elements of \a field in a row of \a seq tokens and \a n_entries entries. */
int64_t rt_logits_width(rt_logits_field field, int64_t seq, int64_t n_entries);
/** 4-byte elements of all fields of such a row. */
int64_t rt_logits_row_words(int64_t seq, int64_t n_entries);
/** The array of \a field. */
void *rt_logits_array(const rt_logits_row *row, rt_logits_field field);
/** A row whose arrays lie one behind the other in \a words, as it is hashed;
 *  borrows. */
rt_logits_row rt_logits_row_of(void *words, int64_t seq, int64_t n_entries);
/** RT_ERR_DATA naming the first token that breaks a rule of the format (sums,
 *  ids below V, finite sorted log-probs), prefixed with \a name. */
RT_MUST rt_err rt_logits_row_check(const rt_logits_info *info, const char *name,
                                   int64_t i_row, const rt_logits_row *row);

/** A shard as the manifest lists it. */
typedef struct rt_logits_shard {
  int64_t row0, n_rows, bytes;
  uint64_t seal; /**< the hash that closes its seal */
} rt_logits_shard;

typedef struct rt_logits_manifest {
  rt_logits_info info;
  bool complete;
  char *deck;              // owned
  rt_logits_shard *shards; // owned [n_shards], when complete
  int64_t n_shards;        // of the plan
} rt_logits_manifest;

void rt_logits_manifest_clear(rt_logits_manifest *m);
/** RT_ERR_DATA unless sizes are positive and sensible. */
RT_MUST rt_err rt_logits_info_check(const char *name,
                                    const rt_logits_info *info);
/** FOLDER/manifest.json */
RT_MUST rt_err rt_logits_manifest_path(char out[RT_PATH_MAX],
                                       const char *folder);
RT_MUST rt_err rt_logits_manifest_parse(const char *name, const char *text,
                                        size_t n, rt_logits_manifest *out);
RT_MUST rt_err rt_logits_manifest_read(const char *folder,
                                       rt_logits_manifest *out);
RT_MUST rt_err rt_logits_manifest_write(const char *folder,
                                        const rt_logits_manifest *m);
/** Every member that differs (but when and by what it was made), "top_k is 50,
 *  not 40; ...", into \a text [n]; "" when none. */
void rt_logits_info_diff(const rt_logits_info *is, const rt_logits_info *want,
                         char *text, size_t n);
/** One attribute of the file for each member. */
RT_MUST rt_err rt_logits_info_put(rt_h5 *h5, const rt_logits_info *info);
/** "| key | value |" lines. */
void rt_logits_info_print(const rt_logits_info *info, FILE *to);

/** Name of a shard's file; its full path. */
void rt_logits_shard_name(char name[32], int64_t i_shard);
RT_MUST rt_err rt_logits_shard_path(char out[RT_PATH_MAX], const char *folder,
                                    int64_t i_shard);
int64_t rt_logits_n_shards(const rt_logits_info *info);
/** Rows of shard \a i. */
int64_t rt_logits_shard_rows(const rt_logits_info *info, int64_t i_shard);

#define RT_LOGITS_FORMAT "retort-logits"
#define RT_LOGITS_VERSION 1

#endif
