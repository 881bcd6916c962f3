/** \file deck.h
 *  The YAML deck of a run, with key.path=value overrides.  Layer: deck.
 *
 *  Every key is one row of deck/deck_keys.h, from which the reader, --help,
 *  doc/parameters.md, inputs/all_parameters.yaml and the resolved copy in every
 *  output folder are generated.  All errors of a deck are reported at once,
 *  each with file, line, column, what was found, what was expected, and the
 *  nearest key.
 *
 *  A deck is one YAML mapping of sections of "key: value", of at most 1 MiB;
 *  "section.key: value" at the top level is equivalent.  Anchors, aliases, tags
 *  and further documents are rejected.  A key is given once; an override may be
 *  repeated, and the last one wins. */
#ifndef RT_DECK_H
#define RT_DECK_H

#include "deck/deck_table.h"
#include <stdio.h>

/** Origin of a value. */
typedef enum rt_source {
  RT_FROM_DEFAULT,
  RT_FROM_DECK,
  RT_FROM_COMMAND_LINE
} rt_source;

typedef struct rt_deck rt_deck;

/** Read \a path (NULL: defaults only), then apply \a overrides ("a.b=value").
 *  Paths in the file are relative to its folder, those of overrides to the
 *  working directory.  RT_ERR_CONFIG with one line per error; RT_ERR_NOINPUT if
 *  the file cannot be read.  Not collective: app reads on rank 0 and broadcasts
 *  the text. */
RT_MUST rt_err rt_deck_read(const char *path, int n_overrides,
                            char *const *overrides, rt_deck **out);
/** The same from \a text, which is that of the file \a path. */
RT_MUST rt_err rt_deck_parse_file(const char *path, const char *text,
                                  int n_overrides, char *const *overrides,
                                  rt_deck **out);
/** The same from a text that does not come from a file: its paths are used
 *  unchanged.  \a name stands for the file in messages. */
RT_MUST rt_err rt_deck_parse(const char *name, const char *text,
                             int n_overrides, char *const *overrides,
                             rt_deck **out);
/** Read back a deck that Retort has written: a text that is no YAML of a deck
 * is RT_ERR_DATA, since it is damaged; keys or values that this version does
 * not know are RT_ERR_CONFIG. */
RT_MUST rt_err rt_deck_parse_back(const char *name, const char *text,
                                  rt_deck **out);
void rt_deck_destroy(rt_deck **deck);

/** Get a value; the type must match the key's (asserted).  Texts are borrowed.
 */
int64_t rt_deck_int(const rt_deck *deck, rt_key key);
double rt_deck_real(const rt_deck *deck, rt_key key);
bool rt_deck_bool(const rt_deck *deck, rt_key key);
const char *rt_deck_text(const rt_deck *deck, rt_key key);
/** Is the CHOICE value this word?  The word must be one of the choices. */
bool rt_deck_is(const rt_deck *deck, rt_key key, const char *word);
int rt_deck_n(const rt_deck *deck, rt_key key); /**< length of a list */
const char *rt_deck_text_at(const rt_deck *deck, rt_key key, int i);
double rt_deck_real_at(const rt_deck *deck, rt_key key, int i);
/** A length in steps; \a tokens_per_step and \a run_steps resolve the units.
 *  Tokens are rounded up to whole steps, fractions of the run to the nearest
 *  step, but at least to one step if not 0; a time is 0 steps. */
int64_t rt_deck_steps(const rt_deck *deck, rt_key key, int64_t tokens_per_step,
                      int64_t run_steps);
/** A length that is a time, in seconds; 0 for any other. */
double rt_deck_seconds(const rt_deck *deck, rt_key key);
/** Was the key given with a value other than the default?  A resolved deck
 *  gives all keys. */
bool rt_deck_is_set(const rt_deck *deck, rt_key key);
rt_source rt_deck_source(const rt_deck *deck, rt_key key);
/** The path of \a key as written in the deck, before the deck's folder was put
 *  in front; NULL if it was not given in a deck. */
const char *rt_deck_written(const rt_deck *deck, rt_key key);
/** Format \a x with the fewest digits that read back exactly, with "." in every
 *  locale. */
void rt_deck_real_text(double x, char out[32]);

/** Print the deck with every key, its value, and "# default | deck:line |
 *  command line"; paths are absolute, so that the output is a valid deck
 *  wherever it is stored. */
RT_MUST rt_err rt_deck_print(const rt_deck *deck, FILE *to);
/** The same with paths as they are, to a new string that the caller frees. */
RT_MUST rt_err rt_deck_to_text(const rt_deck *deck, char **text);
/** Like rt_deck_print, to a new string that the caller frees. */
RT_MUST rt_err rt_deck_to_file_text(const rt_deck *deck, char **text);

/** May a run with this deck continue what was made with the deck \a text?
 *  RT_ERR_CONFIG lists the keys that differ, one "key: old -> new" a line,
 *  except for those that the table calls FREE or checkpoint.allow_change names.
 *  A path that is the end of the other is the same, seen from another folder.
 *  \param of  owner of \a text, for the message
 *  \param folder  the key with which the user can choose another place */
RT_MUST rt_err rt_deck_same_run(const rt_deck *deck, const char *text,
                                const char *of, rt_key folder);
/** Is the value the same?  A path that is the end of the other is. */
bool rt_deck_same_value(const rt_deck *a, const rt_deck *b, rt_key key);
/** Does checkpoint.allow_change name this key? */
bool rt_deck_allows(const rt_deck *deck, rt_key key);

/** Generated texts: kind "markdown" (doc/parameters.md), "yaml"
 *  (inputs/all_parameters.yaml), "help" (for --help=keys). */
RT_MUST rt_err rt_deck_document(const char *kind, FILE *to);

#endif
