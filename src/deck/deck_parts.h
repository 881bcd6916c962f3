/** \file deck_parts.h
 *  What the files of the deck share; nobody else includes it.  Layer: deck.
 *
 *  deck_yaml.c turns text into a flat list of items, deck_value.c an item into
 *  a typed value, deck.c the items into a deck; deck_get.c tells its values,
 *  deck_print.c makes it text, deck_diff.c compares two.
 */
#ifndef RT_DECK_PARTS_H
#define RT_DECK_PARTS_H

#include "deck/deck.h"
#include <stddef.h>

enum {
  RT_DECK_MAX_ISSUES = 50,
  RT_DECK_ISSUE_BYTES = 300,
  RT_QUOTE_BYTES = 72
};

/** Where something stands; line 0: on the command line. */
typedef struct rt_place {
  int line, column; /**< from 1 */
} rt_place;

/** All that is wrong with a deck, in the order found. */
typedef struct rt_deck_issues {
  const char *name; // borrowed, of the deck
  int n;            /**< found; only the first RT_DECK_MAX_ISSUES are kept */
  struct {
    rt_place place;
    char text[RT_DECK_ISSUE_BYTES];
  } at[RT_DECK_MAX_ISSUES];
} rt_deck_issues;
void rt_deck_issue(rt_deck_issues *issues, rt_place place, const char *fmt, ...)
    RT_PRINTF(3, 4);
/** RT_OK when there are none, otherwise RT_ERR_CONFIG with a line each. */
RT_MUST rt_err rt_deck_issues_report(rt_deck_issues *issues);
/** What the user wrote, in quotes, clipped, without control characters. */
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

/** One key of a deck as it was written. */
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

/** Read a YAML text of \a n bytes; what is wrong with it goes to \a issues.
 *  \a items is the caller's to clear, also after an error. */
RT_MUST rt_err rt_deck_yaml_read(const char *text, size_t n,
                                 rt_deck_issues *issues, rt_deck_items *items);
void rt_deck_items_clear(rt_deck_items *items);
void rt_deck_item_clear(rt_deck_item *item);

/** A value of any type. */
typedef struct rt_deck_value {
  int64_t whole; // INT, BOOL
  double real;   // REAL
  char *text;    // owned; TEXT, CHOICE, LENGTH
  int n;         // TEXTS, REALS
  char **texts;  // owned [n]
  double *reals; // owned [n]
  rt_source source;
  int line;
} rt_deck_value;

/** Turn \a item into a value of \a key.  On a user's error \a issues grows and
 *  \a value stays as it was; otherwise the old value is freed. */
RT_MUST rt_err rt_deck_value_read(rt_key key, const rt_deck_item *item,
                                  rt_deck_issues *issues, rt_deck_value *value);
void rt_deck_value_clear(rt_deck_value *value);

/** \a text with "~" and "${NAME}" filled in, for the caller to free; or NULL,
 *  and in \a why what is wrong with it. */
RT_MUST rt_err rt_deck_path_expand(const char *text, char **out,
                                   char why[RT_DECK_ISSUE_BYTES]);

/** \a *path, owned, of a file in \a folder: relative ones are joined to it. */
RT_MUST rt_err rt_deck_path_join(const char *folder, char **path);
/** The folder of the deck \a path into \a out; "" for the working directory,
 *  also of what is no file of a folder (a pipe). */
RT_MUST rt_err rt_deck_path_folder(const char *path, char **out);
/** Are they the same but for the folder that they are seen from? */
bool rt_deck_path_same(const char *a, const char *b);

typedef enum rt_length_unit {
  RT_LENGTH_STEPS,
  RT_LENGTH_TOKENS,
  RT_LENGTH_PERCENT,
  RT_LENGTH_TIME /**< seconds */
} rt_length_unit;
/** Take a LENGTH apart, or a time ("30 min", "04:00:00"); false: neither. */
bool rt_deck_length_split(const char *text, double *amount,
                          rt_length_unit *unit);
/** A decimal number, the whole of \a text, whatever the locale. */
bool rt_deck_number(const char *text, double *x);
/** "range 1 to 1024, rows" or "" into \a out. */
void rt_key_range(rt_key key, char *out, size_t n);
/** A value as a deck shows it: [1, 2], "a text", 3. */
void rt_deck_value_print(rt_key key, const rt_deck_value *value, FILE *to);

struct rt_deck {
  char *name;   // owned; of the file
  char *folder; // owned; that its paths are relative to, "": as they are
  rt_deck_value values[RT_N_KEYS];
};

#endif
