/** \file deck_table.h
 *  The rows of deck_keys.h as data.  Layer: deck. */
#ifndef RT_DECK_TABLE_H
#define RT_DECK_TABLE_H

#include "base/err.h"
#include "deck/deck_keys.h"
#include <stdbool.h>
#include <stdint.h>

#define RT_KEY_ENUM(id, path, type, dflt, lo, hi, choices, unit, restart,      \
                    help)                                                      \
  RT_KEY_##id,
typedef enum rt_key { RT_DECK_KEYS(RT_KEY_ENUM) RT_N_KEYS } rt_key;
#undef RT_KEY_ENUM

typedef enum rt_key_type {
  RT_KEY_TYPE_INT,
  RT_KEY_TYPE_REAL,
  RT_KEY_TYPE_BOOL,
  RT_KEY_TYPE_TEXT,   /**< any string */
  RT_KEY_TYPE_CHOICE, /**< one of the words in choices */
  RT_KEY_TYPE_LENGTH, /**< "200" or "200 steps", "3e6 tokens", "10 %" (of the
                           run); see rt_deck_steps */
  RT_KEY_TYPE_TEXTS,  /**< list of strings */
  RT_KEY_TYPE_REALS   /**< list of numbers */
} rt_key_type;

/** Whether a key may change when a run is resumed. */
typedef enum rt_key_restart {
  RT_KEY_KEPT,   /**< no, unless checkpoint.allow_change names it */
  RT_KEY_FREE,   /**< yes */
  RT_KEY_CONTENT /**< the path may change, but not what the files contain,
                    unless checkpoint.allow_change names it; checked by hashes,
                    not by rt_deck_same_run */
} rt_key_restart;

/** The row of a key in deck_keys.h. */
typedef struct rt_key_row {
  const char *path; /**< "train.batch_rows" */
  rt_key_type type;
  const char *dflt;
  double low, high;          /**< low > high: no range */
  int64_t low_int, high_int; /**< the same, exact beyond 2^53 */
  const char *choices;       /**< words of a CHOICE; units of a LENGTH */
  const char *unit;
  rt_key_restart restart;
  const char *help;
} rt_key_row;
const rt_key_row *rt_key_row_of(rt_key key);
/** Name of a section ("train") and its title; NULL past the last. */
const char *rt_deck_section(int i, const char **help);

const char *rt_key_path(rt_key key); /**< "train.batch_rows" */
/** Is it a path, or a list of them? */
bool rt_key_is_path(rt_key key);
/** The key with this path, or RT_N_KEYS. */
rt_key rt_key_find(const char *path);
/** The key that was probably intended, or RT_N_KEYS: a few typing errors away,
 *  or the right word in the wrong section. */
rt_key rt_key_nearest(const char *path);
/** The key that \a path uses like a section ("train.lr.x"), or RT_N_KEYS. */
rt_key rt_key_above(const char *path);
bool rt_deck_has_section(const char *name);
/** Name of a type: "integer", "number", ... */
const char *rt_key_type_name(rt_key_type type);

#endif
