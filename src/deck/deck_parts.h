/** \file deck_parts.h
 *  Code shared by the files of the deck; internal to this room.  Layer: deck.
 *
 *  deck_yaml.c converts text to a flat list of items, deck_value.c an item to a
 *  typed value, deck.c the items to a deck; deck_get.c returns its values,
 *  deck_print.c prints it, deck_diff.c compares two. */
#ifndef RT_DECK_PARTS_H
#define RT_DECK_PARTS_H

#include "deck/deck.h"
#include <stddef.h>

enum {
  RT_DECK_MAX_ISSUES = 50,
  RT_DECK_ISSUE_BYTES = 300,
  RT_QUOTE_BYTES = 72
};

/** A position; line 0: on the command line. */
typedef struct rt_place {
  int line, column; /**< from 1 */
} rt_place;

/** All errors of a deck, in the order found. */
typedef struct rt_deck_issues {
  const char *name; // borrowed, of the deck
  int n; /**< number found; only the first RT_DECK_MAX_ISSUES are stored */
  struct {
    rt_place place;
    char text[RT_DECK_ISSUE_BYTES];
  } at[RT_DECK_MAX_ISSUES];
} rt_deck_issues;
void rt_deck_issue(rt_deck_issues *issues, rt_place place, const char *fmt, ...)
    RT_PRINTF(3, 4);
/** RT_OK if there are none, otherwise RT_ERR_CONFIG with one line each. */
RT_MUST rt_err rt_deck_issues_report(rt_deck_issues *issues);
/** The user's text in quotes, truncated, without control characters. */
const char *rt_deck_quote(char out[RT_QUOTE_BYTES], const char *text);

typedef struct rt_deck_scalar {
  char *text; // owned
  bool quoted;
  rt_place place;
} rt_deck_scalar;

typedef enum rt_item_kind {
  RT_ITEM_SCALAR,
  RT_ITEM_LIST,
  RT_ITEM_SECTION /**< a mapping without keys */
} rt_item_kind;

/** A key of a deck as written. */
typedef struct rt_deck_item {
  char *path; // owned
  rt_item_kind kind;
  rt_place place;          /**< of the key */
  int n;                   /**< scalars: 1 for RT_ITEM_SCALAR */
  rt_deck_scalar *scalars; // owned [n]
} rt_deck_item;

typedef struct rt_deck_items {
  int n, capacity;
  rt_deck_item *at; // owned [n]
} rt_deck_items;

/** Read a YAML text of \a n bytes; errors go to \a issues.  The caller clears
 *  \a items, also after an error. */
RT_MUST rt_err rt_deck_yaml_read(const char *text, size_t n,
                                 rt_deck_issues *issues, rt_deck_items *items);
void rt_deck_items_clear(rt_deck_items *items);
void rt_deck_item_clear(rt_deck_item *item);

/** A value of any type. */
typedef struct rt_deck_value {
  int64_t whole; // INT, BOOL
  double real;   // REAL
  char *text;    // owned; TEXT, CHOICE, LENGTH
  char *written; // owned; the path before the deck's folder was put in front
  int n;         // TEXTS, REALS
  char **texts;  // owned [n]
  double *reals; // owned [n]
  rt_source source;
  int line;
} rt_deck_value;

/** Convert \a item to a value of \a key.  On a user's error, add to \a issues
 *  and leave \a value unchanged; otherwise the old value is freed. */
RT_MUST rt_err rt_deck_value_read(rt_key key, const rt_deck_item *item,
                                  rt_deck_issues *issues, rt_deck_value *value);
void rt_deck_value_clear(rt_deck_value *value);

/** Expand "~" and "${NAME}" in \a text to a new string that the caller frees;
 *  NULL on an error, described in \a why. */
RT_MUST rt_err rt_deck_path_expand(const char *text, char **out,
                                   char why[RT_DECK_ISSUE_BYTES]);

/** Put \a folder in front of \a *path, owned, if that is relative.  The folder
 *  is never part of a pattern ("*", "?", "[") of files: its characters that
 *  would be are escaped with backslashes. */
RT_MUST rt_err rt_deck_path_join(const char *folder, rt_key key, char **path);
/** The folder of the deck \a path into \a out; "" for the working directory,
 *  also of what is no file of a folder (a pipe). */
RT_MUST rt_err rt_deck_path_folder(const char *path, char **out);
/** Are the paths equal, except for the folder that they are relative to? */
bool rt_deck_path_same(const char *a, const char *b);

typedef enum rt_length_unit {
  RT_LENGTH_STEPS,
  RT_LENGTH_TOKENS,
  RT_LENGTH_PERCENT,
  RT_LENGTH_TIME /**< seconds */
} rt_length_unit;
/** Split a LENGTH, or a time ("30 min", "04:00:00"); false if it is neither. */
bool rt_deck_length_split(const char *text, double *amount,
                          rt_length_unit *unit);
/** Describe the range in \a out: "range 1 to 1024, rows" or "". */
void rt_key_range(rt_key key, char *out, size_t n);
/** Print a value as in a deck: [1, 2], "a text", 3. */
void rt_deck_value_print(rt_key key, const rt_deck_value *value, FILE *to);

struct rt_deck {
  char *name;   // owned; of the file
  char *folder; // owned; that its paths are relative to, "": as they are
  rt_deck_value values[RT_N_KEYS];
};

#endif
