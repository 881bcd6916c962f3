/** \file packed_sort.h
 *  Puts the entries of tokens in order, some tokens at once.  Layer: io, for
 *  io/codec only. */
#ifndef RT_PACKED_SORT_H
#define RT_PACKED_SORT_H

#include "io/codec/packed.h"

/** A token that was read, but for the order of its entries. */
typedef struct rt_packed_token {
  const rt_packed *k; // borrowed
  const char *name;   // borrowed
  rt_logits_row *row; // borrowed
  int64_t t, begin;   // in the row; its first entry
  size_t n;
  uint64_t least, span; // upper halves of its keys: least to least + span
  uint64_t place;       // 1 + that of the corpus token; 0: not an entry
} rt_packed_token;

enum {
  RT_SORT_TOKENS = 16,  /**< tokens sorted at once */
  RT_SORT_ENTRIES = 128 /**< their entries; others are sorted alone */
};

/** Tokens whose entries wait for others, in columns.  Zero the members before
 *  the keys to begin. */
typedef struct rt_packed_sorter {
  int n;       // tokens
  size_t most; // entries
  rt_packed_token token[RT_SORT_TOKENS];
  uint32_t key[RT_SORT_ENTRIES][RT_SORT_TOKENS];
} rt_packed_sorter;

/** Put the entries of a token into its row, now or with a later call.  key [2 *
 *  token->n]: its keys, (level, or N - draws) << 32 | id, and space.  An error
 *  is that of any token. */
RT_MUST rt_err rt_packed_sort(rt_packed_sorter *s, const rt_packed_token *token,
                              uint64_t *key);
/** Put those of all tokens that wait. */
RT_MUST rt_err rt_packed_sort_rest(rt_packed_sorter *s);

#endif
