/** \file deck_diff.c
 *  Differences between two decks, and whether they are allowed. */
#include "deck/deck_parts.h"

#include <stdlib.h>
#include <string.h>

/** Paths whose files are known by their hashes, if they matter, may be seen
 *  from another folder. */
static bool same_paths(const rt_deck_value *a, const rt_deck_value *b)
{
  bool same = a->n == b->n;
  if (a->texts == NULL)
    return rt_deck_path_same(a->text, b->text);
  for (int i = 0; same && i < a->n; i++)
    same = rt_deck_path_same(a->texts[i], b->texts[i]);
  return same;
}

static bool equal(const rt_deck_value *a, const rt_deck_value *b)
{
  bool same = a->whole == b->whole && a->real == b->real && a->n == b->n;
  same = same && (a->text == NULL || strcmp(a->text, b->text) == 0);
  for (int i = 0; same && i < a->n; i++)
    same = a->texts != NULL ? strcmp(a->texts[i], b->texts[i]) == 0
                            : a->reals[i] == b->reals[i];
  return same;
}

bool rt_deck_is_set(const rt_deck *deck, rt_key key)
{
  rt_deck *plain = NULL;
  if (rt_deck_source(deck, key) == RT_FROM_DEFAULT)
    return false;
  const bool none =
      rt_deck_parse("defaults", "", 0, NULL, &plain) != RT_OK || plain == NULL;
  const bool set = none || !equal(&deck->values[key], &plain->values[key]);
  rt_deck_destroy(&plain);
  return set;
}

/** Are the lengths equal?  "5" equals "5 steps". */
static bool same_length(const rt_deck_value *a, const rt_deck_value *b)
{
  double x, y;
  rt_length_unit x_unit, y_unit;
  return rt_deck_length_split(a->text, &x, &x_unit) &&
         rt_deck_length_split(b->text, &y, &y_unit) && x == y &&
         x_unit == y_unit;
}

static bool same_value(rt_key key, const rt_deck_value *a,
                       const rt_deck_value *b)
{
  return equal(a, b) ||
         (rt_key_row_of(key)->type == RT_KEY_TYPE_LENGTH &&
          same_length(a, b)) ||
         (rt_key_is_path(key) && same_paths(a, b));
}

bool rt_deck_same_value(const rt_deck *a, const rt_deck *b, rt_key key)
{
  return same_value(key, &a->values[key], &b->values[key]);
}

bool rt_deck_allows(const rt_deck *deck, rt_key key)
{
  for (int i = 0; i < rt_deck_n(deck, RT_KEY_CKPT_ALLOW); i++)
    if (rt_key_find(rt_deck_text_at(deck, RT_KEY_CKPT_ALLOW, i)) == key)
      return true;
  return false;
}

static void print_difference(rt_key key, const rt_deck_value *a,
                             const rt_deck_value *b, FILE *to)
{
  fprintf(to, "%s: ", rt_key_path(key));
  rt_deck_value_print(key, a, to);
  fputs(" -> ", to);
  rt_deck_value_print(key, b, to);
  fputc('\n', to);
}

/** The keys that differ, matter, and are not allowed by the new deck, one
 *  "key: old -> new" a line. */
static rt_err differences(const rt_deck *old_deck, const rt_deck *new_deck,
                          char **text)
{
  *text = NULL;
  size_t n = 0;
  FILE *memory = open_memstream(text, &n);
  RT_CHECK(memory != NULL, RT_ERR_MEM, "no memory to compare two decks");
  for (int k = 0; k < RT_N_KEYS; k++) {
    const rt_key key = (rt_key)k;
    const rt_deck_value *a = &old_deck->values[k], *b = &new_deck->values[k];
    if (rt_key_row_of(key)->restart == RT_KEY_KEPT && !same_value(key, a, b) &&
        !rt_deck_allows(new_deck, key))
      print_difference(key, a, b, memory);
  }
  if (fclose(memory) != 0) {
    free(*text);
    *text = NULL;
    return RT_FAIL(RT_ERR_MEM, "no memory to compare two decks");
  }
  return RT_OK;
}

rt_err rt_deck_same_run(const rt_deck *deck, const char *text, const char *of,
                        rt_key folder)
{
  rt_deck *old_deck = NULL;
  char *diff = NULL;
  rt_err err = rt_deck_parse(of, text, 0, NULL, &old_deck);
  if (err == RT_OK)
    err = differences(old_deck, deck, &diff);
  if (err == RT_OK && diff[0] != '\0')
    err = RT_FAIL(RT_ERR_CONFIG,
                  "the deck is not %s:\n%sRestore these keys, list them in "
                  "checkpoint.allow_change, or choose another %s",
                  of, diff, rt_key_path(folder));
  free(diff);
  rt_deck_destroy(&old_deck);
  return err;
}
