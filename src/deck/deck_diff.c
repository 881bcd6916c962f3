/** \file deck_diff.c
 *  Differences between two decks, and whether they are allowed. */
#include "deck/deck_parts.h"

#include <stdlib.h>
#include <string.h>

/** Keys that may change at a restart, as they affect where and how often, not
 *  what.  A name ending in "." stands for a whole section. */
static const char *const free_keys[] = {
    "run.",        "output.",    "eval.",     "capture.",
    "checkpoint.", "student.tp", "teacher.tp"};
/** Keys of these sections that do affect results. */
static const char *const bound_keys[] = {"run.seed", "run.real"};

static bool is_free(const char *path)
{
  for (size_t i = 0; i < sizeof bound_keys / sizeof bound_keys[0]; i++) {
    if (strcmp(path, bound_keys[i]) == 0)
      return false;
  }
  for (size_t i = 0; i < sizeof free_keys / sizeof free_keys[0]; i++) {
    const size_t n = strlen(free_keys[i]);
    const bool section = free_keys[i][n - 1] == '.';
    if (strncmp(path, free_keys[i], n) == 0 && (section || path[n] == '\0'))
      return true;
  }
  return false;
}

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
  const bool set = rt_deck_parse("defaults", "", 0, NULL, &plain) != RT_OK ||
                   !equal(&deck->values[key], &plain->values[key]);
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

rt_err rt_deck_diff(const rt_deck *old_deck, const rt_deck *new_deck,
                    char **text)
{
  *text = NULL;
  size_t n = 0;
  FILE *memory = open_memstream(text, &n);
  RT_CHECK(memory != NULL, RT_ERR_MEM, "no memory to compare two decks");
  for (int k = 0; k < RT_N_KEYS; k++) {
    const rt_key key = (rt_key)k;
    const rt_deck_value *a = &old_deck->values[k], *b = &new_deck->values[k];
    const bool is_length = rt_key_row_of(key)->type == RT_KEY_TYPE_LENGTH;
    if (is_free(rt_key_path(key)) || equal(a, b) ||
        (is_length && same_length(a, b)) ||
        (rt_key_is_path(key) && same_paths(a, b)))
      continue;
    fprintf(memory, "%s: ", rt_key_path(key));
    rt_deck_value_print(key, a, memory);
    fputs(" -> ", memory);
    rt_deck_value_print(key, b, memory);
    fputc('\n', memory);
  }
  if (fclose(memory) != 0) {
    free(*text);
    *text = NULL;
    return RT_FAIL(RT_ERR_MEM, "no memory to compare two decks");
  }
  return RT_OK;
}

/** Keys that may differ at a restart in addition to those that rt_deck_diff
 *  ignores: the division of work, and what the user allows. */
static bool is_allowed(const rt_deck *deck, const char *key)
{
  for (int i = 0; i < rt_deck_n(deck, RT_KEY_CKPT_ALLOW); i++)
    if (strcmp(key, rt_deck_text_at(deck, RT_KEY_CKPT_ALLOW, i)) == 0)
      return true;
  return strcmp(key, rt_key_path(RT_KEY_TRAIN_MICRO)) == 0 ||
         strcmp(key, rt_key_path(RT_KEY_LOSS_CHUNK_MIB)) == 0;
}

/** Remove the lines of \a diff ("key: old -> new") that are allowed, in place.
 */
static void drop_free_lines(const rt_deck *deck, char *diff)
{
  char *to = diff, key[256];
  for (char *line = diff, *next; *line != '\0'; line = next) {
    const char *end = strchr(line, '\n');
    next = end != NULL ? line + (end - line) + 1 : line + strlen(line);
    const size_t n = strcspn(line, ":\n");
    snprintf(key, sizeof key, "%.*s", (int)n, line);
    if (is_allowed(deck, key))
      continue;
    memmove(to, line, (size_t)(next - line));
    to += next - line;
  }
  *to = '\0';
}

bool rt_deck_may_change(const rt_deck *deck, rt_key key)
{
  return is_allowed(deck, rt_key_path(key));
}

rt_err rt_deck_same_run(const rt_deck *deck, const char *text, const char *of,
                        rt_key folder)
{
  rt_deck *old_deck = NULL;
  char *diff = NULL;
  rt_err err = rt_deck_parse(of, text, 0, NULL, &old_deck);
  if (err == RT_OK)
    err = rt_deck_diff(old_deck, deck, &diff);
  if (err == RT_OK) {
    drop_free_lines(deck, diff);
    if (diff[0] != '\0')
      err = RT_FAIL(RT_ERR_CONFIG,
                    "the deck is not %s:\n%s%sRestore these keys, list them in "
                    "checkpoint.allow_change, or choose another %s",
                    of, diff, diff[strlen(diff) - 1] == '\n' ? "" : "\n",
                    rt_key_path(folder));
  }
  free(diff);
  rt_deck_destroy(&old_deck);
  return err;
}
